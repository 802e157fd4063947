/**
 * What concurrent callers asked and heard, in the order in which it happened: the input of the checker.
 *
 * An operation without an answer (`lost`) may take effect at any time from its call on, or never.
 */
export interface Operation<Input, Output> {
  readonly caller: string;
  readonly input: Input;
  /** Undefined: nobody knows. */
  readonly output: Output | undefined;
  /** Places in one order of all calls and returns; the return of a lost operation is beyond everything. */
  readonly calledAt: number;
  readonly returnedAt: number;
}

export const NEVER = Number.POSITIVE_INFINITY;

/** Gathers operations while they happen; the order of `begin` and `end` calls is the order of the history. */
export class Recorder<Input, Output> {
  readonly #operations: Operation<Input, Output>[] = [];
  #at = 0;

  begin(caller: string, input: Input): (output: Output | undefined) => void {
    const calledAt = this.#at++;
    return (output) => {
      const returnedAt = output === undefined ? NEVER : this.#at++;
      this.#operations.push({ caller, input, output, calledAt, returnedAt });
    };
  }

  get operations(): readonly Operation<Input, Output>[] {
    return this.#operations;
  }
}
