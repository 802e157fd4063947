/** Past changes at and below a path, page by page, with the paths that they had. */
import { PATH_CHANGES_LIMIT_MAX, type ChangeCursor } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { PastChangesOptions, WatchEvent } from '../watch-event.js';
import { changeFilterOf, cursorOf, eventOf } from './watch-path.js';

export async function* pastChanges(
  { metadata, requestIds }: ClientContext,
  path: Uint8Array,
  options: PastChangesOptions,
): AsyncGenerator<WatchEvent> {
  const { signal, timeoutMs, oldestFirst = false } = options;
  const filter = changeFilterOf(options, requestIds.mark);
  const since = cursorOf(options.since);
  let from: ChangeCursor | undefined = oldestFirst ? since : undefined;
  // Ends with the log in this direction: each page goes on where the one before ended, also where it found nothing.
  for (;;) {
    const page = await metadata.read(
      'path-changes',
      { root: { path }, filter, limit: PATH_CHANGES_LIMIT_MAX, descending: !oldestFirst, ...(from === undefined ? {} : { from }) },
      { signal, timeoutMs },
    );
    for (const change of page.changes) {
      if (!oldestFirst && since !== undefined && !isAfter(change, since)) return;
      yield eventOf(change, change);
    }
    if (!page.more) return;
    from = page.next;
  }
}

function isAfter(at: ChangeCursor, cursor: ChangeCursor): boolean {
  return at.version > cursor.version || (at.version === cursor.version && at.ordinal > cursor.ordinal);
}
