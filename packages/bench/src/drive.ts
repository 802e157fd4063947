/** Closed-loop drivers: how many calls a second, and how long one takes. */

export interface DriveResult {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Keeps `depth` calls in flight for `durationMs`. */
export async function drive(call: (i: number) => Promise<unknown>, depth: number, durationMs: number): Promise<DriveResult> {
  const latencies: number[] = [];
  let next = 0;
  const start = performance.now();
  const end = start + durationMs;
  const lane = async () => {
    for (;;) {
      const before = performance.now();
      if (before >= end) return;
      await call(next++);
      latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: depth }, lane));
  const elapsed = performance.now() - start;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0) * 1000;
  return { perSecond: (latencies.length / elapsed) * 1000, p50Us: at(0.5), p99Us: at(0.99) };
}
