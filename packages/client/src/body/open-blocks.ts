/** Tries the ways to the blocks in the server's order of preference; the last one, through the server, always works. */
import { blocksOf, openFileStore, readNamespaceMarker, type BlockStore, type ObjectStore } from '@nokv/object';
import type { AccessResult, BlockAccess, Clock } from '@nokv/types';
import { NokvError, isNokvError, unreachable } from '@nokv/types';
import type { MetadataClient } from '../metadata-client.js';

export interface OpenBlocksOptions {
  readonly metadata: MetadataClient;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>> | undefined;
}

export async function openBlocks(access: AccessResult, options: OpenBlocksOptions): Promise<BlockStore> {
  let reason: unknown;
  for (const way of access.ways) {
    try {
      const store = await openWay(way, options);
      if (store !== undefined) return store;
    } catch (error) {
      reason ??= error;
    }
  }
  throw new NokvError('store-unavailable', 'no way to the blocks that the server offers works from here; see the cause', { cause: reason });
}

/** Undefined where this way does not lead to the server's own store. */
async function openWay(way: BlockAccess, options: OpenBlocksOptions): Promise<BlockStore | undefined> {
  switch (way.kind) {
    case 'file':
      return ownStore(await openFileStore(way.directory, { create: false, clock: options.clock }), way.marker);
    case 's3':
      return undefined;
    case 'proxied':
      return undefined;
    default:
      return unreachable(way);
  }
}

/** A directory of the same name on another machine is another store: the marker tells. */
async function ownStore(store: ObjectStore, marker: string): Promise<BlockStore | undefined> {
  try {
    if ((await readNamespaceMarker(store)) === marker) return blocksOf(store);
  } catch (error) {
    if (!isNokvError(error)) throw error;
  }
  await store.close();
  return undefined;
}
