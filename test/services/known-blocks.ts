/** What the metadata knows of the store, and what a check of both finds. */
import type { NokvClient } from '@nokv/client';
import { blockKey, isHole, type At, type FsckItem } from '@nokv/types';

/** Keys of the blocks that the body of a file names. */
export async function blocksNamedBy(client: NokvClient, path: string, at?: At): Promise<string[]> {
  const { body } = await client.metadata.read('open-read', { node: { path: Buffer.from(path) }, ...(at === undefined ? {} : { at }) });
  if (body.kind === 'inline') return [];
  return [...new Set(body.manifest.extents.flatMap((extent) => (isHole(extent) ? [] : [blockKey(extent.upload, extent.index)])))];
}

/** Class and place of each finding. */
export async function findingsOf(client: NokvClient): Promise<string[]> {
  const found: string[] = [];
  for await (const item of client.fsck() as AsyncIterable<FsckItem>) if (item.kind === 'finding') found.push(`${item.class} ${item.where}`);
  return found;
}
