/** A process that opens an LMDB shard, mutates it without end and prints each acknowledged command; made to be killed. */
import { systemClock, systemRandom } from '@nokv/types';
import { openLmdbKv } from '../lmdb-kv.js';
import { OWNER, TestShard, at, inline } from './test-shard.js';

const [, , directory, round] = process.argv;
if (directory === undefined || round === undefined) throw new Error('usage: writing-child DIRECTORY ROUND');
const kv = await openLmdbKv({ directory, clock: systemClock });
const shard = await TestShard.open(kv, { prefix: `round${round}`, random: systemRandom });
await shard.mkdir(`/r${round}`);
let next = 0;

async function write(): Promise<never> {
  // Never ends: the parent kills the process.
  for (;;) {
    const i = next++;
    const path = `/r${round}/f${i}`;
    const { result } = await shard.do('publish', { node: at(path), body: inline(`body of ${path}`), mode: 0o644, ...OWNER });
    process.stdout.write(`put ${path} ${result.generation}\n`);
    if (i % 3 !== 0) continue;
    await shard.do('rename', { from: at(path), to: at(`${path}-moved`), mode: 'replace' });
    process.stdout.write(`moved ${path}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, write));
