/**
 * Reads a small local file whole: the bytes of one state of it. A file that is written to meanwhile is read once more, and told with the
 * size and time that it has by then; one that is written to again is refused (`source-changed`).
 */
import { close, closeSync, constants, fstat, fstatSync, open, openSync, read, readSync, type BigIntStats } from 'node:fs';
import { NokvError, formatName } from '@nokv/types';
import { localError } from '../local-error.js';
import { entryOf, type LocalEntry } from './local-tree.js';
import { QuickCalls } from './quick-calls.js';

/** What lies there may have become a fifo, which would wait for a writer, or a symlink. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
const ATTEMPTS = 2;

export interface LocalBytes {
  readonly bytes: Uint8Array;
  /** As it was when it was read. */
  readonly entry: LocalEntry;
}

/** Undefined when the file has grown beyond `bytesMax` since it was listed. */
export async function readLocalFile(listed: LocalEntry, bytesMax: number): Promise<LocalBytes | undefined> {
  let entry = listed;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const { bytes, stats } = await readOnce(entry, bytesMax);
    if (bytes === undefined) return undefined;
    const found = entryOf(entry.path, entry.name, entry.parent, stats);
    if (found.type !== 'file') break;
    // Files of the kernel say that they are empty.
    const isWhole = bytes.length === entry.size || entry.size === 0;
    const isOneState = isWhole && found.size === entry.size && sameTime(found, entry);
    if (isOneState) return { bytes, entry };
    entry = found;
  }
  throw new NokvError('source-changed', `${formatName(listed.path)} is being written to; it was not sent: try again when it is at rest`);
}

interface Once {
  /** Undefined: more than was wanted. */
  readonly bytes: Uint8Array | undefined;
  readonly stats: BigIntStats;
}

const quick = new QuickCalls();
/** A larger body is a longer stay on this thread than is worth saving a trip. */
const HERE_BYTES_MAX = 256 * 1024;

async function readOnce(entry: LocalEntry, bytesMax: number): Promise<Once> {
  try {
    // Files of the kernel say that they are empty, and are read to their end.
    if (entry.size === 0 || entry.size > HERE_BYTES_MAX) return await readElsewhere(entry, bytesMax);
    return await quick.do(
      () => readHere(entry, bytesMax),
      () => readElsewhere(entry, bytesMax),
    );
  } catch (error) {
    throw localError(error, `read ${formatName(entry.path)}`);
  }
}

function readHere(entry: LocalEntry, bytesMax: number): Once {
  const file = openSync(entry.path, OPEN_FLAGS);
  try {
    // One byte more than was listed, to notice a file that grows: its new size says how much there is to read the next time.
    const bytes = Buffer.allocUnsafe(Math.min(entry.size, bytesMax) + 1);
    const length = readSync(file, bytes, 0, bytes.length, null);
    const stats = fstatSync(file, { bigint: true });
    if (length > bytesMax || Number(stats.size) > bytesMax) return { bytes: undefined, stats };
    return { bytes: bytes.subarray(0, length), stats };
  } finally {
    closeSync(file);
  }
}

async function readElsewhere(entry: LocalEntry, bytesMax: number): Promise<Once> {
  // Calls with callbacks: the handles of `fs/promises` cost three times as much.
  const file = await openFile(entry.path);
  try {
    const bytes = await readAll(file, entry.size, bytesMax);
    return { bytes, stats: await statFile(file) };
  } finally {
    close(file, () => undefined);
  }
}

async function readAll(file: number, size: number, bytesMax: number): Promise<Uint8Array | undefined> {
  // One byte more than was listed, to notice a file that grows while it is read.
  let bytes = Buffer.allocUnsafe(Math.min(size, bytesMax) + 1);
  let length = 0;
  // Ends with the file, or when more than `bytesMax` was read.
  for (;;) {
    const bytesRead = await readInto(file, bytes, length);
    length += bytesRead;
    // A file as long as it was listed has ended with a read that came short.
    if (bytesRead === 0 || (length === size && length < bytes.length)) return bytes.subarray(0, length);
    if (length > bytesMax) return undefined;
    if (length < bytes.length) continue;
    const larger = Buffer.allocUnsafe(Math.min(bytes.length * 2, bytesMax + 1));
    bytes.copy(larger);
    bytes = larger;
  }
}

function sameTime(a: LocalEntry, b: LocalEntry): boolean {
  return a.mtime.sec === b.mtime.sec && a.mtime.nsec === b.mtime.nsec;
}

function openFile(path: Buffer): Promise<number> {
  return new Promise((resolve, reject) => open(path, OPEN_FLAGS, (error, file) => (error === null ? resolve(file) : reject(error))));
}

function statFile(file: number): Promise<BigIntStats> {
  return new Promise((resolve, reject) =>
    fstat(file, { bigint: true }, (error, stats) => (error === null ? resolve(stats) : reject(error))),
  );
}

function readInto(file: number, bytes: Buffer, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file, bytes, from, bytes.length - from, null, (error, bytesRead) => (error === null ? resolve(bytesRead) : reject(error)));
  });
}
