import { describe, expect, it } from 'vitest';
import { MemoryKv, openShard, type ShardEngine } from '@nokv/meta';
import { NokvError, epoch, makeRequestId, shardId, systemClock, systemRandom } from '@nokv/types';
import { replaceableEngine } from './replaceable-engine.js';

async function open(): Promise<ShardEngine> {
  const engine = await openShard({ kv: new MemoryKv(), shard: shardId(0), clock: systemClock, random: systemRandom });
  await engine.adoptEpoch(epoch(1));
  return engine;
}

function mkdir(engine: ShardEngine, path: string): Promise<unknown> {
  const requestId = makeRequestId(Date.now(), systemRandom.bytes(10));
  const args = { entry: { path: Buffer.from(path) }, mode: 0o755, uid: 0, gid: 0 };
  return engine.mutate('mkdir', args, { requestId, actor: 'test', acknowledgement: 'durable' });
}

describe('the face of engines that follow on each other', () => {
  it('refuses what it is asked while there is none, with the reason of the gate', () => {
    const { face } = replaceableEngine();
    expect(() => face.hasUpload('0'.repeat(32) as never)).toThrow('does not own the shard yet');
    face.setGate({ refusal: () => new NokvError('lease-lost', 'gone') });
    expect(() => face.read('statfs', {}, { visible: true })).toThrow('gone');
    expect([face.epoch, face.durableVersion]).toEqual([0, 0]);
  });

  it('keeps listeners from engine to engine, and ends them when they stop', async () => {
    const engines = replaceableEngine();
    const heard: number[] = [];
    const stop = engines.face.onDurable((version) => heard.push(version));
    for (let i = 0; i < 2; i++) {
      const engine = await open();
      engines.replace(engine);
      const before = heard.length;
      await mkdir(engines.face, '/d');
      expect(heard.length).toBeGreaterThan(before);
    }
    stop();
    const count = heard.length;
    await mkdir(engines.face, '/e');
    expect(heard).toHaveLength(count);
  });

  it('answers as the engine that it has, gated', async () => {
    const engines = replaceableEngine();
    const gate = { closed: false };
    engines.face.setGate({ refusal: () => (gate.closed ? new NokvError('lease-lost', 'gone') : undefined) });
    engines.replace(await open());
    await mkdir(engines.face, '/d');
    expect(await engines.face.read('stat', { node: { path: Buffer.from('/d') }, follow: true }, { visible: false })).toMatchObject({
      type: 'directory',
    });
    gate.closed = true;
    expect(() => engines.face.read('statfs', {}, { visible: true })).toThrow('gone');
  });
});
