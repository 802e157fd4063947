/** `collect`: due background work done at once, and a list of what is left with the reason why. */
import type { ShardEngine } from '@nokv/meta';
import { removeUploadBlocks, type ObjectStore } from '@nokv/object';
import type { Clock, CollectArgs, CollectResult } from '@nokv/types';

export interface CollectParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
}

/** A call answers after this long, done or not: the background goes on anyway. */
const RUN_MS = 10_000;

export async function collect({ engine, store, clock }: CollectParts, { dryRun, limit }: CollectArgs): Promise<CollectResult> {
  const endMs = clock.monotonicMs() + RUN_MS;
  let slices = 0;
  let blocksRemoved = 0;
  let isUnfinished = false;
  if (!dryRun) {
    do {
      const { more } = await engine.maintain(async (upload) => {
        blocksRemoved += await removeUploadBlocks(store, upload);
      });
      slices += 1;
      isUnfinished = more;
    } while (isUnfinished && clock.monotonicMs() < endMs);
  }
  return { ...engine.collectPlan(limit), slices, blocksRemoved, isUnfinished };
}
