/** What a benchmark reports: one figure, and the floor that was measured beside it in the same run. */

export interface Figure {
  readonly bench: string;
  readonly case: string;
  readonly value: number;
  readonly unit: string;
  /** What the same machine does in the same minute without nokv; absent where there is nothing to compare with. */
  readonly floor?: number;
  readonly floorName?: string;
  /** value / floor for rates; floor / value for times, so that more is always better. */
  readonly ratio?: number;
  readonly conditions: Readonly<Record<string, string | number>>;
}

export interface BenchContext {
  /** Fewer and shorter rounds: each benchmark ends within 30 seconds. */
  readonly quick: boolean;
  /** A directory of the run's own; removed afterwards. */
  readonly directory: string;
  readonly report: (figure: Figure) => void;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  readonly run: (context: BenchContext) => Promise<void>;
}

export function rounds(context: BenchContext): number {
  return context.quick ? 5 : 9;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Measures the floor and the thing turn by turn, so that both see the same machine; medians of both. */
export async function interleaved(
  context: BenchContext,
  floor: () => Promise<number>,
  thing: () => Promise<number>,
): Promise<{ floor: number; value: number }> {
  const floors: number[] = [];
  const values: number[] = [];
  for (let round = 0; round < rounds(context); round++) {
    floors.push(await floor());
    values.push(await thing());
  }
  return { floor: median(floors), value: median(values) };
}
