/** Reads a small local file whole. */
import { open } from 'node:fs/promises';
import { formatName } from '@nokv/types';
import { localError } from '../local-error.js';
import type { LocalEntry } from './local-tree.js';

/** Undefined when the file has grown beyond `bytesMax` since it was listed. */
export async function readLocalFile(entry: LocalEntry, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    const file = await open(entry.path, 'r');
    try {
      // One byte more than was listed, to notice a file that grows while it is read.
      let bytes = Buffer.allocUnsafe(Math.min(entry.size, bytesMax) + 1);
      let length = 0;
      // Ends with the file, or when more than `bytesMax` was read.
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        length += bytesRead;
        if (bytesRead === 0) return bytes.subarray(0, length);
        if (length > bytesMax) return undefined;
        if (length < bytes.length) continue;
        const larger = Buffer.allocUnsafe(Math.min(bytes.length * 2, bytesMax + 1));
        bytes.copy(larger);
        bytes = larger;
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw localError(error, `read ${formatName(entry.path)}`);
  }
}
