/** Bodies whose bytes follow from a name: what is read can be checked without remembering it. */
import { createHash } from 'node:crypto';
import type { NokvClient } from '@nokv/client';

export function bodyFor(name: string, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  let seed = createHash('sha256').update(name).digest();
  for (let at = 0; at < length; at += seed.length) {
    seed.copy(bytes, at);
    seed = createHash('sha256').update(seed).digest();
  }
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Digest of what `path` holds, read as a stream. */
export async function digestOf(client: NokvClient, path: string): Promise<string> {
  const body = await client.get(path);
  const hash = createHash('sha256');
  for await (const chunk of body.stream()) hash.update(chunk);
  return hash.digest('hex');
}

/** Which of the bodies `path` holds, compared byte by byte; -1 for none of them. Costs less than a digest. */
export async function whichBody(client: NokvClient, path: string, bodies: readonly Uint8Array[]): Promise<number> {
  const body = await client.get(path, { verify: false });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.stream()) chunks.push(chunk);
  const found = Buffer.concat(chunks);
  return bodies.findIndex((each) => found.equals(each));
}
