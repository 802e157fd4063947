/** {@link OpenFile}: everything goes by the inode number, which needs no name. */
import { isNokvError, type Attributes, type SessionId } from '@nokv/types';
import { openBody } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import { putBody } from '../path/publish-body.js';
import type { OpenFile } from '../sessions.js';

export function openFile(context: ClientContext, session: SessionId, attributes: Attributes): OpenFile {
  const { ino } = attributes;
  let closing: Promise<void> | undefined;

  async function closeHandle(options: CallOptions): Promise<void> {
    try {
      await context.metadata.mutate('close-handle', { ino, session }, options);
    } catch (error) {
      // With its session the handle was closed already.
      if (!isNokvError(error, 'no-session') && !isNokvError(error, 'not-found')) throw error;
    }
  }

  const close = (options: CallOptions = {}): Promise<void> => (closing ??= closeHandle(options));
  return {
    ino,
    attributes,
    stat: (options) => context.metadata.read('getattr', { ino }, options),
    get: (options = {}) => openBody(context, { ino }, options),
    put: (source, options = {}) => putBody(context, { ino }, source, { target: `inode ${ino}`, ...options }),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}
