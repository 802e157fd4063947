/** A change as `watch` and `log` show it. */
import type { WatchEvent } from '@nokv/client';
import { formatTimespec } from '@nokv/types';
import type { Output } from './output.js';
import { printable } from './printable.js';

const KIND_WIDTH = 11;
const OUTSIDE = '(outside)';

/** One line of JSON: `schema/watch-event.json`. */
export function eventJson(event: WatchEvent): Record<string, unknown> {
  const { cursor, version, ordinal, kind, path, fromPath, ino, type, generation, actor, requestId, time } = event;
  return {
    cursor,
    version,
    ordinal,
    kind,
    path: path ?? null,
    fromPath: fromPath ?? null,
    inode: ino,
    type,
    generation: generation ?? null,
    actor,
    requestId,
    time: formatTimespec(time),
  };
}

/** Time, kind, path, generation, actor. */
export function eventLine(output: Output, { time, kind, path, fromPath, generation, actor }: WatchEvent): string {
  const place =
    kind === 'renamed' ? `${printable(fromPath ?? OUTSIDE)} -> ${printable(path ?? OUTSIDE)}` : printable(path ?? fromPath ?? OUTSIDE);
  const body = generation === undefined ? '' : `  @${generation}`;
  return `${formatTimespec(time)}  ${output.colors.magenta(kind.padEnd(KIND_WIDTH))}  ${place}${body}  ${printable(actor)}`;
}
