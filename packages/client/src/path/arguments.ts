/** From what callers write to what the operations take. */
import type { Generation, Timespec } from '@nokv/types';
import { generation, joinPath, NokvError, parseName, parsePath, splitPath, timespecFromMs } from '@nokv/types';
import type { PathLike, TimeLike } from '../nokv-client.js';

/** The absolute path in normal form. */
export function pathBytes(path: PathLike): Uint8Array {
  return typeof path === 'string' ? parsePath(path) : joinPath(splitPath(path));
}

/** A name of an entry or of an extended attribute. */
export function nameBytes(name: string | Uint8Array): Uint8Array {
  return typeof name === 'string' ? parseName(name) : name;
}

/** Free bytes, as text in UTF-8 without escapes. */
export function valueBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}

export function timespec(time: Timespec | Date): Timespec {
  if (!(time instanceof Date)) return time;
  const ms = time.getTime();
  if (Number.isNaN(ms)) throw new NokvError('invalid-argument', 'expected a point in time, found an invalid Date');
  return timespecFromMs(ms);
}

export function timeOrNow(time: TimeLike): Timespec | 'now' {
  return time === 'now' ? time : timespec(time);
}

export function expectedGeneration(value: number | undefined): Generation | undefined {
  return value === undefined ? undefined : generation(value);
}

/** Leaves out members that are undefined, as `exactOptionalPropertyTypes` and the wire's schemas want it. */
export function defined<Value extends object>(value: Value): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [Key in keyof Value]: Exclude<Value[Key], undefined>;
  };
}
