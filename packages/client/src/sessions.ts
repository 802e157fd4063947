/** Sessions of the public SDK: leases that renew themselves, with the locks and open files that are held under them. */
import type { Attributes, InodeNumber, LockHolder, LockKind, LockType, SessionId, Version } from '@nokv/types';
import type { BodyHandle } from './body-handle.js';
import type { CallOptions } from './metadata-client.js';
import type { GetOptions, PathLike, PutOptions, PutOutcome } from './nokv-client.js';
import type { PutSource } from './put-source.js';

export interface SessionOptions extends CallOptions {
  /** Shown to operators and in conflicts; default: nothing. */
  readonly name?: string | undefined;
  /** 1 second to 24 hours, default 30 seconds: how long what is held outlives a client that died. Renewed at a third of it. */
  readonly ttlMs?: number | undefined;
}

/**
 * Everything that is held under a session ends with it: by `close`, or when it was not renewed in time. Until then it lives
 * through lost connections, restarts and takeovers of the server.
 */
export interface ClientSession extends AsyncDisposable {
  readonly id: SessionId;
  /**
   * Fires when nothing is held under the session any more although it was not closed: it could not be renewed before it ended, or
   * somebody closed it. The reason is a `NokvError`. Whoever works under a lock must stop then.
   */
  readonly lost: AbortSignal;
  /**
   * Takes a lock, waiting for it in the order of arrival as long as it takes (or `timeoutMs`: `deadline-exceeded`). Errors:
   * `deadlock` (the wait would never end), `no-session`, `not-found`, `lock-limit`. A wait that is given up leaves nothing held
   * unless the error says `unknown`.
   */
  lock(file: FileLike, options?: LockOptions & { readonly onWaiting?: (why: string) => void }): Promise<HeldLock>;
  /** Takes a lock that is free; undefined where somebody holds it. */
  tryLock(file: FileLike, options?: LockOptions): Promise<HeldLock | undefined>;
  /** Who stands in the way of such a lock; undefined: nobody. */
  testLock(file: FileLike, options?: LockOptions): Promise<LockHolder | undefined>;
  /** Keeps a file (anything but a directory) alive as long as it is open, even without a name. Errors: `is-directory`. */
  open(file: FileLike, options?: CallOptions & { readonly follow?: boolean | undefined }): Promise<OpenFile>;
  /** Ends the session with all that it holds. Harmless when repeated. */
  close(options?: CallOptions): Promise<void>;
}

/** A path, or the number of an inode. */
export type FileLike = PathLike | { readonly ino: InodeNumber };

export interface LockOptions extends CallOptions {
  /** `flock` (default) locks the file as a whole, `range` bytes of it; the two do not see each other. */
  readonly kind?: LockKind | undefined;
  /** Default `exclusive`. */
  readonly type?: LockType | undefined;
  /** First byte of a range; default 0. */
  readonly start?: number | undefined;
  /** First byte behind a range; default: the end of the file, however long it grows. */
  readonly end?: number | undefined;
  /**
   * Who holds it within the session, a safe integer from 0. Locks of one owner never conflict: a later one changes the earlier as
   * far as it reaches. Default: an owner of its own.
   */
  readonly owner?: number | undefined;
}

/** A lock that is held as long as its session lives and it is not released. */
export interface HeldLock extends AsyncDisposable {
  readonly ino: InodeNumber;
  readonly owner: number;
  readonly kind: LockKind;
  readonly type: LockType;
  readonly start: number;
  readonly end: number;
  /** The commit that took it. */
  readonly version: Version;
  /** Harmless when repeated, and when the session or the file is gone. */
  release(options?: CallOptions): Promise<void>;
}

/** A file that lives at least as long as this, under its inode number. */
export interface OpenFile extends AsyncDisposable {
  readonly ino: InodeNumber;
  /** As they were when it was opened. */
  readonly attributes: Attributes;
  /** As they are now; `nlink` 0 once its last name is gone. */
  stat(options?: CallOptions): Promise<Attributes>;
  /** Its body as it is now. */
  get(options?: GetOptions): Promise<BodyHandle>;
  /** Publishes another body, whether or not it has a name. */
  put(source: PutSource, options?: PutOptions): Promise<PutOutcome>;
  /** Harmless when repeated, and when the session is gone. */
  close(options?: CallOptions): Promise<void>;
}
