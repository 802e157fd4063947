/** Reads a small local file whole. */
import { close, open, read } from 'node:fs';
import { formatName } from '@nokv/types';
import { localError } from '../local-error.js';
import type { LocalEntry } from './local-tree.js';

/** Undefined when the file has grown beyond `bytesMax` since it was listed. */
export async function readLocalFile(entry: LocalEntry, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    // Calls with callbacks: the handles of `fs/promises` cost three times as much, and small files are many.
    const file = await openFile(entry.path);
    try {
      // One byte more than was listed, to notice a file that grows while it is read.
      let bytes = Buffer.allocUnsafe(Math.min(entry.size, bytesMax) + 1);
      let length = 0;
      // Ends with the file, or when more than `bytesMax` was read.
      for (;;) {
        const bytesRead = await readInto(file, bytes, length);
        length += bytesRead;
        // A file as long as it was listed has ended with a read that came short.
        if (bytesRead === 0 || (length === entry.size && length < bytes.length)) return bytes.subarray(0, length);
        if (length > bytesMax) return undefined;
        if (length < bytes.length) continue;
        const larger = Buffer.allocUnsafe(Math.min(bytes.length * 2, bytesMax + 1));
        bytes.copy(larger);
        bytes = larger;
      }
    } finally {
      close(file, () => undefined);
    }
  } catch (error) {
    throw localError(error, `read ${formatName(entry.path)}`);
  }
}

function openFile(path: Buffer): Promise<number> {
  return new Promise((resolve, reject) => open(path, 'r', (error, file) => (error === null ? resolve(file) : reject(error))));
}

function readInto(file: number, bytes: Buffer, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file, bytes, from, bytes.length - from, null, (error, bytesRead) => (error === null ? resolve(bytesRead) : reject(error)));
  });
}
