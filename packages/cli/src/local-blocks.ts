/** A local file as the blocks that it is sent in. */
import { open } from 'node:fs/promises';
import { crc32c } from '@nokv/client';
import { NokvError, UPLOAD_BLOCKS_MAX, type BlockToPut } from '@nokv/types';
import { localFailure } from './local-failure.js';

/** @param shown how the file was named by whoever asks. */
export async function localBlocks(
  file: string,
  shown: string,
  blockBytes: number,
  signal: AbortSignal,
): Promise<readonly (BlockToPut & { readonly offset: number })[]> {
  try {
    await using handle = await open(file, 'r');
    const { size, isFile } = await handle.stat().then((stats) => ({ size: stats.size, isFile: stats.isFile() }));
    if (!isFile) throw new NokvError('not-regular-file', `${shown}: expected a file, found something else`);
    if (size === 0) throw new NokvError('invalid-argument', `${shown}: is empty, there is nothing to send; nokv put stores empty files`);
    if (size > UPLOAD_BLOCKS_MAX * blockBytes)
      throw new NokvError('too-large', `${shown}: expected a file of at most ${UPLOAD_BLOCKS_MAX} blocks of ${blockBytes} bytes`);
    const buffer = Buffer.alloc(Math.min(blockBytes, size));
    const blocks: (BlockToPut & { readonly offset: number })[] = [];
    for (let offset = 0; offset < size;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - offset), offset);
      const isWhole = bytesRead === Math.min(buffer.length, size - offset);
      if (!isWhole) throw new NokvError('invalid-argument', `${shown}: changed while it was read; try again`);
      blocks.push({ index: blocks.length, offset, length: bytesRead, crc32c: crc32c(buffer.subarray(0, bytesRead)) });
      offset += bytesRead;
    }
    return blocks;
  } catch (error) {
    throw error instanceof NokvError ? error : localFailure(error, shown);
  }
}
