/**
 * Whether a history of concurrent operations could have been one after another: the search of Wing and Gong ("Testing and verifying
 * concurrent objects", 1993) with the memory of Lowe ("Testing for linearizability", 2017): a set of operations that was put
 * in order before, with the same state, is not tried again.
 *
 * A model says which states an operation may lead to, given what was heard of it: none where the answer is impossible there. Lost
 * operations may be left out.
 */
import type { Operation } from './history.js';

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** States after the operation; none where it cannot have had this output. `output` is undefined where nobody knows. */
  step(state: State, input: Input, output: Output | undefined): readonly State[];
  /** Equal for equal states. */
  key(state: State): string;
}

export type Verdict<Input, Output> =
  | { readonly isLinearizable: true; readonly steps: number }
  | {
      readonly isLinearizable: false;
      readonly steps: number;
      /** The most operations that could be put in order. */
      readonly longest: readonly Operation<Input, Output>[];
      /** What no order explains after them: the earliest operations that wait. */
      readonly stuck: readonly Operation<Input, Output>[];
    };

/** Bounds the search: a history that needs more is reported rather than waited for. */
const STEPS_MAX = 5_000_000;

interface Frame<State> {
  readonly state: State;
  /** Operations that may come next, with where each would lead; tried from the end. */
  readonly next: { readonly operation: number; readonly state: State }[];
  /** What led here; -1 at the start. */
  readonly operation: number;
}

export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
): Verdict<Input, Output> {
  const operations = [...history].sort((a, b) => a.calledAt - b.calledAt);
  const taken = operations.map(() => false);
  const required = operations.filter(({ output }) => output !== undefined).length;
  const seen = new Set<string>();
  const order: number[] = [];
  let longest: number[] = [];
  let requiredTaken = 0;
  let steps = 0;

  const candidates = (state: State): Frame<State>['next'] => {
    // Whatever returned bounds what may come before it: only operations called before the earliest pending return are free.
    let bound = Number.POSITIVE_INFINITY;
    const free: number[] = [];
    for (const [i, operation] of operations.entries()) {
      if (taken[i] === true) continue;
      if (operation.calledAt > bound) break;
      free.push(i);
      bound = Math.min(bound, operation.returnedAt);
    }
    return free
      .filter((i) => (operations[i] as Operation<Input, Output>).calledAt <= bound)
      .reverse()
      .flatMap((i) => {
        const { input, output } = operations[i] as Operation<Input, Output>;
        return model.step(state, input, output).map((after) => ({ operation: i, state: after }));
      });
  };

  const stack: Frame<State>[] = [{ state: model.initial, next: candidates(model.initial), operation: -1 }];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    // Lost operations that are left took no effect.
    if (requiredTaken === required) return { isLinearizable: true, steps };
    const next = frame.next.pop();
    if (next === undefined) {
      stack.pop();
      if (frame.operation >= 0) {
        taken[frame.operation] = false;
        order.pop();
        if (operations[frame.operation]?.output !== undefined) requiredTaken -= 1;
      }
      continue;
    }
    taken[next.operation] = true;
    const memory = `${bits(taken)} ${model.key(next.state)}`;
    if (seen.has(memory)) {
      taken[next.operation] = false;
      continue;
    }
    seen.add(memory);
    steps += 1;
    if (steps > STEPS_MAX) throw new Error(`the history needs more than ${STEPS_MAX} steps to be judged; make it shorter`);
    order.push(next.operation);
    if (operations[next.operation]?.output !== undefined) requiredTaken += 1;
    if (order.length > longest.length) longest = [...order];
    stack.push({ state: next.state, next: candidates(next.state), operation: next.operation });
  }
  const inOrder = new Set(longest);
  return {
    isLinearizable: false,
    steps,
    longest: longest.map((i) => operations[i] as Operation<Input, Output>),
    stuck: operations.filter((_, i) => !inOrder.has(i)).slice(0, 5),
  };
}

/** The set as text, short where its beginning is full: what was called long ago has been put in order. */
function bits(taken: readonly boolean[]): string {
  let first = taken.indexOf(false);
  if (first < 0) first = taken.length;
  let last = taken.lastIndexOf(true);
  let text = `${first}:`;
  for (; last >= first; last--) text += taken[last] === true ? '1' : '0';
  return text;
}
