/** One who waits for a lock: what was asked, and what it is told. */
import type { MutateContext } from '@nokv/meta';
import type { LockWaitItem } from '@nokv/protocol';
import { NokvError, type InodeNumber, type LockArgs, type LockHolder, type Version } from '@nokv/types';

export class LockWaiter {
  readonly args: LockArgs & { readonly node: { readonly ino: InodeNumber } };
  readonly context: MutateContext;
  /** Session and owner as one word. */
  readonly owner: string;
  /** To be tried: it has just come, or something happened since it was tried. */
  isDue = true;
  /** By the wall clock, when it is tried again if nothing happens before. */
  retryAtMs = Number.POSITIVE_INFINITY;
  readonly #signal: AbortSignal;
  readonly #items: LockWaitItem[] = [];
  #error: NokvError | undefined;
  #isSettled = false;
  #hasWaited = false;
  #wake: (() => void) | undefined;

  constructor(args: LockWaiter['args'], context: MutateContext, signal: AbortSignal) {
    this.args = args;
    this.context = context;
    this.owner = `${args.session}/${args.owner}`;
    this.#signal = signal;
  }

  get ino(): InodeNumber {
    return this.args.node.ino;
  }

  /** Nobody waits any more, or it has what it waited for. */
  get isOver(): boolean {
    return this.#isSettled || this.#signal.aborted;
  }

  isOwn({ session, owner }: Pick<LockHolder, 'session' | 'owner'>): boolean {
    return session === this.args.session && owner === this.args.owner;
  }

  /** It could not be had at once; `conflict` says who holds it, absent where others wait for it too. Told once. */
  waits(conflict: NokvError | undefined): void {
    if (this.#hasWaited) return;
    this.#hasWaited = true;
    this.#tell({ kind: 'waiting', why: conflict?.message ?? `others wait for locks of inode ${this.ino} that exclude this one` });
  }

  locked(version: Version, ino: InodeNumber): void {
    this.#isSettled = true;
    this.#tell({ kind: 'locked', version, ino });
  }

  refused(error: NokvError): void {
    this.#isSettled = true;
    this.#error = error;
    this.#wake?.();
  }

  /** The next thing to say; undefined once there is nothing more. Rejects with the refusal. */
  async next(): Promise<LockWaitItem | undefined> {
    // Ends with an item, the end or the signal.
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#error !== undefined) throw this.#error;
      if (this.isOver) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  #tell(item: LockWaitItem): void {
    this.#items.push(item);
    this.#wake?.();
  }
}
