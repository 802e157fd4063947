import { describe, expect, test } from 'vitest';
import { batchItemIds, type BatchItem, type ChangeRecord, type CreateArgs, type RequestId } from '@nokv/types';
import { FAMILY, familyEnd, familyStart } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { digestOf } from './request-digest.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';

const put = (text: string) => ({ node: at('/f'), body: inline(text), mode: 0o644, ...OWNER });

describe('request ids', () => {
  test('a repeated request has one effect, one generation, one event and the same result', async () => {
    const shard = await TestShard.open();
    const events: ChangeRecord[] = [];
    shard.engine.onDurable((_version, changes) => events.push(...changes));
    const first = await shard.as('x', 'publish', put('1'));
    const again = await shard.as('x', 'publish', put('1'));
    expect(again).toEqual(first);
    expect(await shard.stat('/f')).toMatchObject({ ordinal: 1, generation: first.result.generation });
    expect(events.map(({ kind }) => kind)).toEqual(['created', 'published']);
    expect(events.every(({ requestId, actor }) => requestId === 'x' && actor === 'tester')).toBe(true);
  });

  test('the same moment twice is one request', async () => {
    const shard = await TestShard.open();
    const [a, b, c] = await Promise.all([
      shard.as('x', 'publish', put('1')),
      shard.as('x', 'publish', put('1')),
      shard.as('x', 'publish', put('1'), 'visible'),
    ]);
    expect(b).toEqual(a);
    expect(c).toEqual(a);
    expect(shard.engine.stats.commands).toBe(1);
  });

  test('every kind of result survives its row, also in a reopened shard', async () => {
    const kv = new MemoryKv();
    const shard = await TestShard.open(kv);
    const answers: [string, unknown][] = [];
    const run = async (name: string, answer: Promise<unknown>): Promise<void> => void answers.push([name, await answer]);
    const calls = (over: TestShard): [string, () => Promise<unknown>][] => [
      ['mkdir', () => over.as('1', 'mkdir', { entry: at('/d'), mode: 0o755, ...OWNER })],
      ['create', () => over.as('2', 'create', { entry: at('/d/f'), mode: 0o644, type: 'file', exclusive: true, ...OWNER })],
      ['symlink', () => over.as('3', 'symlink', { entry: at('/l'), target: Buffer.from('d'), ...OWNER })],
      ['link', () => over.as('4', 'link', { node: at('/d/f'), entry: at('/g') })],
      ['setattr', () => over.as('5', 'setattr', { node: at('/g'), mode: 0o600 })],
      ['xattr', () => over.as('6', 'xattr-set', { node: at('/g'), name: Buffer.from('user.a'), value: Buffer.from('1'), mode: 'set' })],
      ['publish', () => over.as('7', 'publish', put('body'))],
      ['rename', () => over.as('8', 'rename', { from: at('/f'), to: at('/h'), mode: 'replace' })],
      ['unlink', () => over.as('9', 'unlink', { entry: at('/h') })],
      ['rmdir', () => over.as('10', 'rmdir', { entry: at('/e') }).catch((error: Error) => error.message)],
      ['begin-upload', () => over.as('11', 'begin-upload', { target: 't', ttlMs: 5 })],
      ['begin-tree', () => over.as('12', 'begin-tree', { mode: 0o755, ttlMs: 5, ...OWNER })],
      ['remove-tree', () => over.as('13', 'remove-tree', { entry: at('/d') })],
    ];
    for (const [name, call] of calls(shard)) await run(name, call());
    await shard.engine.close();
    const reopened = await TestShard.open(kv.powerCut());
    for (const [i, [name, call]] of calls(reopened).entries()) expect([name, await call()]).toEqual(answers[i]);
  });

  test('other arguments under a used id are refused, during and after', async () => {
    const shard = await TestShard.open();
    const first = shard.as('x', 'publish', put('1'));
    await expect(shard.as('x', 'publish', put('2'))).rejects.toMatchObject({ code: 'request-reused', kind: 'invalid' });
    await first;
    await expect(shard.as('x', 'publish', put('2'))).rejects.toMatchObject({ code: 'request-reused' });
    await expect(shard.as('x', 'mkdir', { entry: at('/x'), mode: 0, ...OWNER })).rejects.toMatchObject({ code: 'request-reused' });
    expect(await shard.text('/f')).toBe('1');
  });

  test('a refused request keeps no result and may be sent again', async () => {
    const shard = await TestShard.open();
    await expect(shard.as('x', 'unlink', { entry: at('/f') })).rejects.toMatchObject({ code: 'not-found' });
    await shard.put('/f', '1');
    expect((await shard.as('x', 'unlink', { entry: at('/f') })).result).toMatchObject({ nlink: 0 });
  });

  test('past its window a result is forgotten and an old retry is refused, never run again', async () => {
    const shard = await TestShard.open();
    await shard.as('old', 'publish', put('1'));
    shard.clock.ms += 2 * 3600 * 1000;
    await shard.as('young', 'publish', put('2'));
    await shard.maintain();
    expect([...shard.kv.range(familyStart(FAMILY.request), familyEnd(FAMILY.request))]).toHaveLength(1);
    await expect(shard.as('old', 'publish', put('1'), 'durable', 2 * 3600 * 1000)).rejects.toMatchObject({
      code: 'request-expired',
      outcome: 'unknown',
    });
    expect((await shard.as('young', 'publish', put('2'), 'durable', 1000)).result.attributes.ordinal).toBe(2);
    expect((await shard.as('fresh', 'publish', put('3'), 'durable', 1000)).result.attributes.ordinal).toBe(3);
  });

  test('results and changes are bounded by count too', async () => {
    const shard = await TestShard.open(new MemoryKv(), { window: { requestVersionsMax: 10, changeVersionsMax: 20 } });
    for (let i = 0; i < 50; i++) await shard.put('/f', String(i));
    await shard.maintain();
    expect([...shard.kv.range(familyStart(FAMILY.request), familyEnd(FAMILY.request))].length).toBeLessThanOrEqual(11);
    const changes = [...shard.kv.range(familyStart(FAMILY.change), familyEnd(FAMILY.change))];
    expect(changes.length).toBeGreaterThan(10);
    expect(changes.length).toBeLessThanOrEqual(22);
    await expect(shard.read('changes', { since: 1 as never, limit: 10 })).rejects.toMatchObject({ code: 'cursor-too-old' });
    expect((await shard.read('changes', { since: shard.engine.durableVersion, limit: 10 })).changes).toEqual([]);
  });

  test('requests that changed nothing are forgotten as well', async () => {
    const shard = await TestShard.open();
    for (let i = 0; i < 5; i++) await shard.do('begin-upload', { target: '', ttlMs: 1000 });
    shard.clock.ms += 2 * 3600 * 1000;
    await shard.maintain();
    expect([...shard.kv.range(familyStart(FAMILY.request), familyEnd(FAMILY.request))]).toEqual([]);
  });

  test('malformed ids are refused', async () => {
    const shard = await TestShard.open();
    for (const id of ['', 'a b', 'x'.repeat(65)]) {
      await expect(
        shard.engine.mutate('unlink', { entry: at('/f') }, { requestId: id as never, actor: '', acknowledgement: 'durable' }),
      ).rejects.toMatchObject({ code: 'invalid-argument' });
    }
  });
});

describe('argument digest', () => {
  test('does not depend on the order of fields nor on undefined ones', () => {
    expect(digestOf('x', { a: 1, b: { c: 'd', e: Uint8Array.of(1) } })).toBe(
      digestOf('x', { b: { e: Uint8Array.of(1), c: 'd', f: undefined }, a: 1 }),
    );
  });

  test('tells different arguments apart', () => {
    const values: [string, object][] = [
      ['x', {}],
      ['y', {}],
      ['x', { a: 1 }],
      ['x', { a: 2 }],
      ['x', { a: 2 ** 33 + 1 }],
      ['x', { a: '1' }],
      ['x', { b: 1 }],
      ['x', { a: true }],
      ['x', { a: false }],
      ['x', { a: [1, 2] }],
      ['x', { a: [2, 1] }],
      ['x', { a: { b: 1 } }],
      ['x', { a: Uint8Array.of(1, 2) }],
      ['x', { a: Uint8Array.of(2, 1) }],
      ['x', { a: new Uint8Array(1000) }],
      ['x', { a: new Uint8Array(1001) }],
      ['x', { a: new Uint8Array(1000).fill(1) }],
      ['x', { a: 1, b: 2 }],
      ['x', { a: 2, b: 1 }],
      ['x', { a: 0.5 }],
    ];
    const digests = values.map(([operation, args]) => digestOf(operation, args));
    expect(new Set(digests).size).toBe(values.length);
    expect(digests.every((digest) => Number.isSafeInteger(digest) && digest >= 0)).toBe(true);
  });
});

describe('request ids of a batch', () => {
  const first = '0199c4d5e6f70123456789ab00000000' as RequestId;
  const context = { requestId: first, actor: 'tester', acknowledgement: 'durable' } as const;
  const creates = (count: number): BatchItem[] =>
    Array.from({ length: count }, (_, i) => ({
      operation: 'create',
      args: { entry: at(`/b${i}`), mode: 0o644, type: 'file', exclusive: true, ...OWNER },
    }));

  test('give the first results again, and run only what was not there', async () => {
    const shard = await TestShard.open();
    const three = await shard.engine.mutateMany(creates(3), context);
    const again = await shard.engine.mutateMany(creates(5), context);
    expect(again.slice(0, 3)).toEqual(three);
    expect(again.every(({ ok }) => ok)).toBe(true);
    expect(shard.engine.stats.commands).toBe(5);
  });

  test('are looked for wherever they lie in the batch, also where the count begins anew', async () => {
    const shard = await TestShard.open();
    const last = '0199c4d5e6f70123456789abffffffff' as RequestId;
    const ids = batchItemIds(last);
    const [, , item] = creates(3) as [BatchItem, BatchItem, BatchItem];
    const stored = await shard.engine.mutate('create', item.args as CreateArgs, { ...context, requestId: ids(2) });
    const answers = await shard.engine.mutateMany(creates(3), { ...context, requestId: last });
    expect(answers[2]).toMatchObject({ ok: true, value: { version: stored.version } });
    const other = await shard.engine.mutateMany(creates(3).reverse(), { ...context, requestId: last });
    expect(other.map((answer) => (answer.ok ? 'done' : answer.error.code))).toEqual(['request-reused', 'done', 'request-reused']);
  });
});
