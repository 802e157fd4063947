/** A local file as a source of whole blocks, named by text or bytes. */
import { open } from 'node:fs/promises';
import type { ByteSource } from '@nokv/object';
import { NokvError, formatName } from '@nokv/types';
import { localError } from '../local-error.js';

export async function localFileSource(file: string | Uint8Array): Promise<ByteSource> {
  const path = typeof file === 'string' ? file : Buffer.from(file);
  const name = typeof file === 'string' ? file : formatName(file);
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw localError(error, `open ${name}`);
  });
  try {
    const stats = await handle.stat();
    if (stats.isDirectory())
      throw new NokvError('is-directory', `expected a file on this machine, ${name} is a directory; put it recursively`);
    return {
      ...(stats.isFile() ? { sizeHint: stats.size } : {}),
      async read(into) {
        let filled = 0;
        try {
          while (filled < into.length) {
            const { bytesRead } = await handle.read(into, filled, into.length - filled, null);
            if (bytesRead === 0) break;
            filled += bytesRead;
          }
        } catch (error) {
          throw localError(error, `read ${name}`);
        }
        return filled;
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
