/** Many small bodies over an S3 server: inside the metadata, or packed into few objects; beside one put a file by a raw client. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@nokv/client';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { median, rounds, type Bench } from './figure.js';
import { RawS3 } from './floors/raw-s3.js';
import { startS3Server } from './load/s3-server.js';
import { slowWay } from './load/slow-way.js';

const FILES = 10_000;
const FILES_QUICK = 2_000;
const WRITERS = 16;

export const smallBodiesBench: Bench = {
  name: 'small',
  about: 'trees of 10,000 files of 1 and 64 KiB, and bodies of 16 KiB from 16 writers, with the PUTs that they cost',
  async run(context) {
    const files = context.quick ? FILES_QUICK : FILES;
    const objects = join(context.directory, 'small-objects');
    mkdirSync(objects);
    const s3 = await startS3Server(objects);
    const way = await slowWay(s3.endpoint, 0);
    const server = await startServer(join(context.directory, 'small'), ['--object', s3.url('nokv', way.endpoint)], s3.env);
    const client = await connect({ address: server.rpc, env: s3.env });
    const raw = new RawS3({ ...s3, endpoint: way.endpoint }, WRITERS);
    try {
      for (const bytes of [1024, 65_536]) {
        const body = Buffer.alloc(bytes, 7);
        const source = mkdtempSync(join(context.directory, 'tree-'));
        for (let i = 0; i < files; i++) {
          body.writeUInt32LE(i);
          writeFileSync(join(source, `f${i}`), body);
        }
        const rates: number[] = [];
        const floors: number[] = [];
        let puts = 0;
        for (let round = 0; round < Math.min(rounds(context), 5); round++) {
          if (bytes > 16_384) {
            let next = 0;
            const before = performance.now();
            const lane = async () => {
              while (next < files) await raw.put(`raw/${round}/${next++}`, body);
            };
            await Promise.all(Array.from({ length: WRITERS }, lane));
            floors.push((files / (performance.now() - before)) * 1000);
          }
          await way.takeRequests();
          const before = performance.now();
          await client.putTree(source, `/tree-${bytes}-${round}`);
          rates.push((files / (performance.now() - before)) * 1000);
          puts = (await way.takeRequests()).puts;
        }
        rmSync(source, { recursive: true });
        const value = median(rates);
        const name = `put-tree-${files}x${bytes / 1024}KiB`;
        const floor = floors.length === 0 ? undefined : median(floors);
        context.report({
          bench: 'small',
          case: name,
          value,
          unit: 'file/s',
          ...(floor === undefined ? {} : { floor, floorName: 'raw, one PUT a file, 16 at once', ratio: value / floor }),
          conditions: { files, bytes, puts },
        });
        context.report({ bench: 'small', case: `${name}-puts`, value: puts, unit: 'PUTs', conditions: { files, bytes } });
      }
      const body = Buffer.alloc(16 * 1024, 7);
      let next = 0;
      await client.mkdir('/small');
      const put = () => {
        body.writeUInt32LE(next);
        return client.put(`/small/${next++}`, Buffer.from(body));
      };
      await drive(put, WRITERS, 1000);
      await way.takeRequests();
      const { perSecond: value } = await drive(put, WRITERS, context.quick ? 1000 : 4000);
      const { puts } = await way.takeRequests();
      context.report({
        bench: 'small',
        case: 'put-16KiB',
        value,
        unit: 'op/s',
        conditions: { writers: WRITERS, puts, bytes: body.length },
      });
    } finally {
      await client.close();
      raw.close();
      await server.stop();
      way.close();
      await s3.stop();
    }
  },
};
