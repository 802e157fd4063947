/** The digest of a local file, to compare with one in the namespace. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { formatName } from '@nokv/types';
import { localError } from '../local-error.js';

const CHUNK_BYTES = 256 * 1024;

/** @param like a digest whose algorithm is used; undefined for one that is not known here. */
export async function digestOfFile(path: Buffer, like: string, signal: AbortSignal): Promise<string | undefined> {
  const algorithm = like.slice(0, like.indexOf(':'));
  if (algorithm !== 'sha256') return undefined;
  const hash = createHash(algorithm);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, signal })) hash.update(chunk as Buffer);
  } catch (error) {
    throw localError(error, `read ${formatName(path)}`);
  }
  return `${algorithm}:${hash.digest('hex')}`;
}
