/** {@link HeldLock}: gives back just what was taken. */
import { isNokvError, type InodeNumber, type LockArgs, type Version } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { HeldLock } from '../sessions.js';

export function heldLock(
  context: ClientContext,
  args: LockArgs & { readonly node: { readonly ino: InodeNumber } },
  version: Version,
): HeldLock {
  const { node, owner, kind, type, start, end } = args;
  let releasing: Promise<void> | undefined;

  async function unlock(options: CallOptions): Promise<void> {
    const { type: _, ...place } = args;
    try {
      await context.metadata.mutate('unlock', place, options);
    } catch (error) {
      // With its session or its file the lock has gone already.
      if (!isNokvError(error, 'no-session') && !isNokvError(error, 'not-found')) throw error;
    }
  }

  const release = (options: CallOptions = {}): Promise<void> => (releasing ??= unlock(options));
  return { ino: node.ino, owner, kind, type, start, end, version, release, [Symbol.asyncDispose]: () => release() };
}
