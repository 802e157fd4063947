/** A body written beside its place and moved over it once it is whole and on disk. */
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BodyHandle } from '@nokv/client';
import type { Random } from '@nokv/types';
import { localFailure } from './local-failure.js';

export async function writeLocalFile(
  path: string,
  body: BodyHandle,
  { signal, random, onBytes }: { readonly signal: AbortSignal; readonly random: Random; readonly onBytes: (bytes: number) => void },
): Promise<void> {
  const beside = join(dirname(path), `.nokv-${Buffer.from(random.bytes(8)).toString('hex')}`);
  const file = await open(beside, 'wx', body.attributes.mode & 0o777).catch((error: unknown) => {
    throw localFailure(error, path);
  });
  try {
    let bytes = 0;
    try {
      for await (const chunk of body.stream({ reuse: true, signal })) {
        await file.writeFile(chunk).catch((error: unknown) => {
          throw localFailure(error, path);
        });
        onBytes((bytes += chunk.length));
      }
      await file.chmod(body.attributes.mode & 0o7777);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path).catch((error: unknown) => {
      throw localFailure(error, path);
    });
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
