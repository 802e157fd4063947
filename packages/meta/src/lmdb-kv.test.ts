import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbKv } from './lmdb-kv.js';
import { orderedKvConformance } from './testing/index.js';

orderedKvConformance('LMDB', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-kv-'));
  const kv = await openLmdbKv({ directory });
  const opened = [kv];
  return {
    kv,
    reopen: async () => {
      await kv.close();
      const again = await openLmdbKv({ directory });
      opened.push(again);
      return again;
    },
    dispose: async () => {
      for (const one of opened) await one.close();
      await rm(directory, { recursive: true });
    },
  };
});
