import { expect, it } from 'vitest';
import { epoch, shardId, type ShardId } from '@nokv/types';
import { embeddedCoordinator, type EmbeddedRecord } from './embedded-coordinator.js';
import { coordinatorConformance } from './testing/index.js';

function memoryRecords() {
  const stored = new Map<ShardId, EmbeddedRecord>();
  return {
    stored,
    load: async (shard: ShardId) => stored.get(shard),
    save: async (shard: ShardId, record: EmbeddedRecord) => void stored.set(shard, record),
  };
}

coordinatorConformance('embedded', async () => {
  const records = memoryRecords();
  // One process has one embedded coordinator; it is made again only after it was closed.
  let current = embeddedCoordinator(records);
  let isClosed = false;
  return {
    open: async () => {
      if (isClosed) current = embeddedCoordinator(records);
      isClosed = false;
      const opened = current;
      return { ...opened, close: () => ((isClosed = true), opened.close()) };
    },
    dispose: () => current.close(),
  };
});

it('does not give a shard away when the raised epoch could not be saved', async () => {
  const records = { ...memoryRecords(), save: () => Promise.reject(new Error('disk full')) };
  const coordinator = embeddedCoordinator(records);
  const node = { id: 'a', endpoint: '127.0.0.1:1', home: 'h' };
  await expect(coordinator.acquire(shardId(0), node, epoch(0))).rejects.toThrow('disk full');
  expect(await coordinator.shards()).toEqual([]);
});
