/** Entries that could not be moved while the others were. */
import { isNokvError, toNokvError, type ErrorKind } from '@nokv/types';
import type { TreeFailure } from '../trees.js';

const KEPT_MAX = 1000;
/** What these say is not about one entry: going on would fail the same way, or is not wanted. */
const FATAL_KINDS: ReadonlySet<ErrorKind> = new Set(['unavailable', 'fenced', 'internal', 'quota']);

export class Failures {
  readonly list: TreeFailure[] = [];
  readonly #collects: boolean;
  count = 0;

  /** @param collects false: the first failure is everybody's. */
  constructor(collects: boolean) {
    this.#collects = collects;
  }

  /** Keeps a failure of one entry; throws what is not. */
  note(path: string, error: unknown): void {
    if (!this.#collects || !isNokvError(error) || FATAL_KINDS.has(error.kind)) throw error;
    this.count += 1;
    const { code, message } = toNokvError(error);
    if (this.list.length < KEPT_MAX) this.list.push({ path, code, message });
  }

  /** @returns what the task says, or undefined when its failure was kept. */
  async attempt<Result>(path: string, task: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await task();
    } catch (error) {
      this.note(path, error);
      return undefined;
    }
  }
}
