import { NokvError } from '@nokv/types';

export interface UnmountOptions {
  readonly runDirectory?: string | undefined;
  /** Detach even when files are open. */
  readonly force?: boolean | undefined;
  /** Milliseconds to wait for the drain; default 60,000. */
  readonly timeoutMs?: number | undefined;
}

/** Drains and unmounts what lies on `directory`, whoever serves it; heals a dead mount. Errors: `not-found`, `directory-in-use`. */
export async function unmountDirectory(directory: string, options: UnmountOptions = {}): Promise<void> {
  throw new NokvError('unsupported', `cannot unmount ${directory} yet${options.force === true ? '.' : ''}`);
}
