/** One stream that waits for a lock, from its opening to the lock. */
import type { LockWaitItem } from '@nokv/protocol';
import type { InodeNumber, Version } from '@nokv/types';
import { NokvError } from '@nokv/types';

export interface LockTaken {
  readonly version: Version;
  readonly result: { readonly ino: InodeNumber };
}

/** Rejects with `connection-lost` where the stream ends without the lock: it is to be opened again. */
export async function takeLock(items: AsyncIterable<LockWaitItem>, onWaiting: (why: string) => void): Promise<LockTaken> {
  for await (const item of items) {
    if (item.kind === 'locked') return { version: item.version, result: { ino: item.ino } };
    onWaiting(item.why);
  }
  throw new NokvError('connection-lost', 'the server ended the wait for a lock');
}
