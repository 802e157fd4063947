import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryKv, openShard, type ShardEngine } from '@nokv/meta';
import {
  ID_RANDOM_BYTES,
  epoch,
  isNokvError,
  makeRequestId,
  shardId,
  systemClock,
  systemRandom,
  version,
  type Acknowledgement,
  type Version,
} from '@nokv/types';
import { beginShardLife, type ShardLife } from './incarnation.js';

const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
let kv: MemoryKv;
let engine: ShardEngine;
let life: ShardLife;
let shown: Version;
let cuts: Version[];

beforeEach(async () => {
  kv = new MemoryKv();
  engine = await openShard({ kv, shard: shardId(0), clock: systemClock, random: systemRandom });
  life = beginShardLife(engine, systemRandom);
  await engine.adoptEpoch(epoch(1));
  engine.setGate({ refusal: () => life.refusal() });
  shown = version(0);
  cuts = [];
  life.guard({ shownVersion: () => shown, cut: () => cuts.push(engine.durableVersion) });
});
afterEach(() => engine.close());

function mkdir(name: string, acknowledgement: Acknowledgement): Promise<Version> {
  const entry = { path: Buffer.from(`/${name}`) };
  const requestId = makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));
  return engine
    .mutate('mkdir', { entry, mode: 0o755, uid: 0, gid: 0 }, { requestId, actor: 'test', acknowledgement })
    .then((committed) => committed.version);
}

describe('an incarnation', () => {
  it('differs for each opening of the same environment, and counts on from above what the last one gave out', async () => {
    const last = await mkdir('a', 'durable');
    expect(last).toBeGreaterThan(life.incarnation.opened);
    const again = await openShard({ kv: kv.powerCut(), shard: shardId(0), clock: systemClock, random: systemRandom });
    const next = beginShardLife(again, systemRandom);
    expect(next.incarnation.id).not.toBe(life.incarnation.id);
    expect(next.incarnation.opened).toBeGreaterThanOrEqual(last);
    await again.close();
  });

  it('ends when what was shown is lost: connections are cut before anything later is durable, calls are refused', async () => {
    kv.failNext({ at: 'commit', error: full });
    shown = await mkdir('seen', 'visible');
    const later = mkdir('later', 'durable').catch((error: unknown) => error);
    expect(await life.lost).toMatchObject({ message: expect.stringContaining(`${shown}`) as string });
    expect(cuts).toHaveLength(1);
    expect(cuts[0]).toBeLessThan(shown);
    expect(isNokvError(await later)).toBe(true);
    await expect(mkdir('after', 'durable')).rejects.toBe(life.refusal());
    expect(engine.durableVersion).toBeLessThan(shown);
  });

  it('goes on when a commit failed of which nobody was told', async () => {
    kv.failNext({ at: 'commit', error: full });
    await expect(mkdir('refused', 'durable')).rejects.toThrow('full');
    expect(cuts).toEqual([]);
    expect(life.refusal()).toBeUndefined();
    await mkdir('after', 'durable');
  });
});
