/** A watch by path over the stream of the server, which gives every change the paths that it had. */
import { formatCursor, formatName, parseCursor, wholeVersion, type ChangeCursor, type ChangeFilter, type PathChange } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { ChangeChoice, Watch, WatchEvent, WatchOptions } from '../watch-event.js';

export function watchPath({ metadata, requestIds }: ClientContext, path: Uint8Array, options: WatchOptions): Watch {
  const { since, signal } = options;
  const start = cursorOf(since);
  const filter = changeFilterOf(options, requestIds.mark);
  let cursor = start === undefined ? undefined : formatCursor(start);

  async function* events(): AsyncGenerator<WatchEvent> {
    for await (const item of metadata.watchPath({ path }, { filter, since: start, signal })) {
      if (item.kind === 'events') {
        const last = item.events.length - 1;
        for (const [i, change] of item.events.entries()) {
          cursor = formatCursor(i === last ? item.at : change);
          yield eventOf(change, i === last ? item.at : change);
        }
      } else {
        cursor = formatCursor(item.at);
      }
    }
  }

  return {
    get cursor() {
      return cursor;
    },
    [Symbol.asyncIterator]: events,
  };
}

export function cursorOf(since: WatchOptions['since']): ChangeCursor | undefined {
  if (since === undefined) return undefined;
  return typeof since === 'string' ? parseCursor(since) : wholeVersion(since);
}

export function changeFilterOf({ kinds, actors, exceptActors, excludeSelf }: ChangeChoice, mark: string): ChangeFilter {
  return {
    ...(kinds === undefined ? {} : { kinds }),
    ...(actors === undefined ? {} : { actors }),
    ...(exceptActors === undefined ? {} : { exceptActors }),
    ...(excludeSelf === true ? { exceptClient: mark } : {}),
  };
}

export function eventOf({ path, fromPath, ...change }: PathChange, cursor: ChangeCursor): WatchEvent {
  return {
    cursor: formatCursor(cursor),
    ...change,
    ...(path === undefined ? {} : { path: formatName(path) }),
    ...(fromPath === undefined ? {} : { fromPath: formatName(fromPath) }),
  };
}
