/** What one small request costs this process: a 4 KiB object in and out of an S3 server, signed, verified, by the store that blocks go through. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, openS3Store, type ObjectStore } from '@nokv/object';
import { drive } from './drive.js';
import type { Bench } from './figure.js';
import { startS3Server } from './load/s3-server.js';

const BYTES = 4096;
const DEPTH = 16;

export const objectRequestsBench: Bench = {
  name: 'requests',
  about: 'processor time of a PUT and a GET of 4 KiB; the rate of the digest',
  async run(context) {
    const objects = join(context.directory, 'requests-objects');
    mkdirSync(objects);
    const s3 = await startS3Server(objects);
    const store = await openS3Store(s3.url('nokv'), { env: s3.env });
    try {
      const durationMs = context.quick ? 1000 : 4000;
      const body = Buffer.alloc(BYTES, 3);
      let next = 0;
      const put = (objectStore: ObjectStore) => () => objectStore.putIfAbsent(`k/${next++}`, body);
      await drive(put(store), DEPTH, 1000);
      const written = next;
      for (const [name, call] of [
        ['put', put(store)],
        ['get', (i: number) => store.get(`k/${i % written}`, { offset: 0, length: BYTES })],
      ] as const) {
        const before = process.cpuUsage();
        const { perSecond } = await drive(call, DEPTH, durationMs);
        const { user, system } = process.cpuUsage(before);
        const value = (user + system) / 1000 / ((perSecond * durationMs) / 1000);
        const conditions = { bytes: BYTES, depth: DEPTH, durationMs, perSecond: Math.round(perSecond) };
        context.report({ bench: 'requests', case: `${name}-4KiB-cpu`, value, unit: 'ms', conditions });
      }
      const block = Buffer.alloc(4 * 1024 * 1024, 1);
      const before = performance.now();
      let blocks = 0;
      for (; performance.now() - before < durationMs; blocks++) digestOf(block);
      const value = (blocks * block.length) / 2 ** 30 / ((performance.now() - before) / 1000);
      context.report({ bench: 'requests', case: 'sha256', value, unit: 'GiB/s', conditions: { threads: 1 } });
    } finally {
      await store.close();
      await s3.stop();
    }
  },
};
