/**
 * {@link ClientSession}: opened once, renewed at a third of its time, and given up for lost when it could not be renewed before it
 * ended. Times are measured by this machine's monotonic clock from before each renewal was sent, so that the session is
 * taken for lost before it is over on the server, never after.
 */
import {
  LOCK_END_MAX,
  NokvError,
  SESSION_TTL_MS_DEFAULT,
  isNokvError,
  toNokvError,
  type LockArgs,
  type LockHolder,
  type NodeRef,
  type SessionId,
} from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import { pathBytes } from '../path/arguments.js';
import { sharedSignal } from '../session/shared-signal.js';
import type { ClientSession, FileLike, HeldLock, LockOptions, OpenFile, SessionOptions } from '../sessions.js';
import { heldLock } from './held-lock.js';
import { openFile } from './open-file.js';

/** Owners that this client draws lie above those that callers are likely to choose. */
const FIRST_OWN_OWNER = 2 ** 52;
/** What giving something back may take where nobody waits for it. */
const COURTESY: CallOptions = { timeoutMs: 2000 };

export async function openSession(context: ClientContext, options: SessionOptions = {}): Promise<ClientSession> {
  const { name = '', ttlMs = SESSION_TTL_MS_DEFAULT, ...call } = options;
  const sentAtMs = context.clock.monotonicMs();
  const { result } = await context.metadata.mutate('open-session', { name, ttlMs }, call);
  return new SessionLease(context, result.session, ttlMs, sentAtMs + ttlMs);
}

class SessionLease implements ClientSession {
  readonly id: SessionId;
  readonly #context: ClientContext;
  readonly #ttlMs: number;
  readonly #closed = new AbortController();
  readonly #lost = new AbortController();
  /** By the monotonic clock. */
  #endsAtMs: number;
  #nextOwner = FIRST_OWN_OWNER;
  #closing: Promise<void> | undefined;

  constructor(context: ClientContext, id: SessionId, ttlMs: number, endsAtMs: number) {
    this.#context = context;
    this.id = id;
    this.#ttlMs = ttlMs;
    this.#endsAtMs = endsAtMs;
    // Every call under the session listens to both.
    sharedSignal(this.#closed.signal);
    sharedSignal(this.#lost.signal);
    void this.#renew();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async lock(file: FileLike, options: LockOptions & { readonly onWaiting?: (why: string) => void } = {}): Promise<HeldLock> {
    const args = this.#lockArgs(file, options);
    const { onWaiting, timeoutMs, signal } = options;
    try {
      const { version, result } = await this.#context.metadata.waitForLock(args, { ...this.#call(signal), timeoutMs, onWaiting });
      return heldLock(this.#context, { ...args, node: { ino: result.ino } }, version);
    } catch (thrown) {
      const error = toNokvError(thrown);
      if (error.outcome !== 'unknown' || options.owner !== undefined) throw error;
      // An owner of its own holds nothing else: whatever became of the wait, nothing is held after this.
      const isFree = await this.#unlock(args);
      throw isFree ? new NokvError(error.code, error.message, { details: error.details, cause: error.cause }) : error;
    }
  }

  async tryLock(file: FileLike, options: LockOptions = {}): Promise<HeldLock | undefined> {
    const args = this.#lockArgs(file, options);
    try {
      const { version, result } = await this.#context.metadata.mutate('lock', args, { ...options, ...this.#call(options.signal) });
      return heldLock(this.#context, { ...args, node: { ino: result.ino } }, version);
    } catch (error) {
      if (isNokvError(error, 'lock-conflict')) return undefined;
      throw error;
    }
  }

  async testLock(file: FileLike, options: LockOptions = {}): Promise<LockHolder | undefined> {
    return (await this.#context.metadata.read('test-lock', this.#lockArgs(file, options), options)).holder;
  }

  async open(file: FileLike, options: CallOptions & { readonly follow?: boolean | undefined } = {}): Promise<OpenFile> {
    const { follow, ...call } = options;
    const args = { node: nodeOf(file), session: this.id, ...(follow === undefined ? {} : { follow }) };
    const { result } = await this.#context.metadata.mutate('open-handle', args, { ...call, ...this.#call(call.signal) });
    return openFile(this.#context, this.id, result.attributes);
  }

  close(options: CallOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(options: CallOptions): Promise<void> {
    this.#closed.abort(new NokvError('cancelled', `session ${this.id} was closed`));
    const closing = this.#context.metadata.mutate('close-session', { session: this.id }, this.lost.aborted ? COURTESY : options);
    // One that is lost ends by itself.
    await (this.lost.aborted ? closing.catch(() => undefined) : closing);
  }

  /** Ends when the session is closed or lost. */
  async #renew(): Promise<void> {
    const { clock, metadata } = this.#context;
    const closed = this.#closed.signal;
    while (!closed.aborted && !this.#lost.signal.aborted) {
      try {
        await clock.sleep(Math.max(0, this.#endsAtMs - clock.monotonicMs() - (this.#ttlMs * 2) / 3), closed);
        const sentAtMs = clock.monotonicMs();
        const timeoutMs = this.#endsAtMs - sentAtMs;
        if (timeoutMs <= 0) throw new NokvError('no-session', `session ${this.id} was not renewed within ${this.#ttlMs} ms: it has ended`);
        await metadata.mutate('renew-session', { session: this.id, ttlMs: this.#ttlMs }, { timeoutMs, signal: closed });
        this.#endsAtMs = Math.max(this.#endsAtMs, sentAtMs + this.#ttlMs);
      } catch (error) {
        if (closed.aborted) return;
        const isOver = clock.monotonicMs() >= this.#endsAtMs || !isPassing(error);
        if (isOver) this.#lost.abort(lostBy(this.id, error));
      }
    }
  }

  #lockArgs(file: FileLike, options: LockOptions): LockArgs {
    const { kind = 'flock', type = 'exclusive', start = 0, end = LOCK_END_MAX, owner = this.#nextOwner++ } = options;
    return { node: nodeOf(file), session: this.id, owner, kind, type, start, end };
  }

  /** Calls end with the session. */
  #call(signal: AbortSignal | undefined): { readonly signal: AbortSignal } {
    const signals = [this.#closed.signal, this.#lost.signal];
    if (signal !== undefined) signals.push(sharedSignal(signal));
    return { signal: AbortSignal.any(signals) };
  }

  async #unlock(args: LockArgs): Promise<boolean> {
    const { type: _, ...place } = args;
    try {
      await this.#context.metadata.mutate('unlock', place, COURTESY);
      return true;
    } catch (error) {
      return isNokvError(error, 'no-session') || isNokvError(error, 'not-found');
    }
  }
}

export function nodeOf(file: FileLike): NodeRef {
  if (typeof file === 'string' || file instanceof Uint8Array) return { path: pathBytes(file) };
  return { ino: file.ino };
}

/** Time or another server may mend it, while there is time. */
function isPassing(error: unknown): boolean {
  const { kind } = toNokvError(error);
  return kind === 'unavailable' || kind === 'fenced';
}

function lostBy(session: SessionId, error: unknown): NokvError {
  if (isNokvError(error, 'no-session')) return error;
  const cause = toNokvError(error);
  return new NokvError('no-session', `session ${session} could not be renewed and has ended: ${cause.message}`, { cause });
}
