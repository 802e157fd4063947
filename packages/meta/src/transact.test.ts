import { describe, expect, test } from 'vitest';
import {
  TRANSACT_MAX,
  requestId,
  type Generation,
  type InodeNumber,
  type ListedMutation,
  type Precondition,
  type RequestId,
  type TransactResult,
} from '@nokv/types';
import { MemoryKv } from './memory-kv.js';
import type { Committed } from './shard-engine.js';
import { contradictions, historyOf } from './testing/check-rows.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const publish = (path: string, text: string, more: object = {}): ListedMutation => ({
  operation: 'publish',
  args: { node: at(path), body: inline(text), mode: 0o644, ...OWNER, ...more },
});
const mkdir = (path: string, parents = false): ListedMutation => ({
  operation: 'mkdir',
  args: { entry: at(path), mode: 0o755, parents, ...OWNER },
});
const create = (path: string): ListedMutation => ({
  operation: 'create',
  args: { entry: at(path), mode: 0o644, type: 'file', exclusive: true, ...OWNER },
});
const unlink = (path: string): ListedMutation => ({ operation: 'unlink', args: { entry: at(path) } });
const rename = (from: string, to: string): ListedMutation => ({
  operation: 'rename',
  args: { from: at(from), to: at(to), mode: 'replace' },
});
const link = (node: string, entry: string): ListedMutation => ({ operation: 'link', args: { node: at(node), entry: at(entry) } });

function transact(
  shard: TestShard,
  operations: readonly ListedMutation[],
  preconditions?: readonly Precondition[],
): Promise<Committed<TransactResult>> {
  return shard.do('transact', { operations, ...(preconditions === undefined ? {} : { preconditions }) });
}

/** Every row but those that each command writes: what a refused transaction must leave as it was. */
function rowsOf(shard: TestShard): string[] {
  return [...shard.kv.range(Uint8Array.of(0), Uint8Array.of(0xff))]
    .filter(({ key }) => key[0] !== 0x01)
    .map(({ key, value }) => `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);
}

describe('a transaction', () => {
  test('takes effect under one version, with a result and an ordinal for each operation', async () => {
    const shard = await TestShard.open();
    await shard.put('/old', 'gone');
    const before = shard.engine.durableVersion;
    const { version, result } = await transact(shard, [publish('/a', 'A'), publish('/b', 'B'), publish('/c', 'C'), unlink('/old')]);
    expect(version).toBe(before + 1);
    expect(result.results.map(({ operation }) => operation)).toEqual(['publish', 'publish', 'publish', 'unlink']);
    expect(result.results[0]).toMatchObject({ result: { generation: version, created: true } });
    expect(await shard.names('/')).toEqual(['a', 'b', 'c']);
    const { changes } = await shard.read('changes', { since: before, limit: 100 });
    expect(changes.map(({ kind, name, ordinal }) => `${ordinal} ${kind} ${Buffer.from(name ?? []).toString()}`)).toEqual([
      '0 created a',
      '1 published a',
      '2 created b',
      '3 published b',
      '4 created c',
      '5 published c',
      '6 removed old',
    ]);
    expect(new Set(changes.map((change) => change.version))).toEqual(new Set([version]));
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('lets later operations see earlier ones', async () => {
    const shard = await TestShard.open();
    await transact(shard, [
      mkdir('/d/e', true),
      publish('/d/e/f', 'one'),
      { operation: 'xattr-set', args: { node: at('/d/e/f'), name: bytes('user.k'), value: bytes('v'), mode: 'create' } },
      link('/d/e/f', '/d/g'),
      rename('/d/e/f', '/h'),
      { operation: 'setattr', args: { node: at('/h'), mode: 0o600, size: 2 } },
      { operation: 'rmdir', args: { entry: at('/d/e') } },
      { operation: 'symlink', args: { entry: at('/s'), target: bytes('h'), ...OWNER } },
    ]);
    expect(await shard.text('/s')).toBe('on');
    expect(await shard.stat('/d/g')).toMatchObject({ nlink: 2, mode: 0o600, size: 2, xattrs: [bytes('user.k')], ordinal: 1 });
    expect(await shard.names('/d')).toEqual(['g']);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test.each([
    [
      'an operation',
      [publish('/new', 'x'), mkdir('/keep/me/not'), mkdir('/taken')],
      undefined,
      { code: 'not-found', details: { index: 1 } },
    ],
    [
      'the last operation',
      [publish('/taken/f', 'x'), unlink('/taken/f'), mkdir('/taken')],
      undefined,
      { code: 'exists', details: { index: 2 } },
    ],
    [
      'a precondition',
      [publish('/new', 'x')],
      [{ node: at('/taken') }, { node: at('/nothing') }],
      { code: 'not-found', details: { precondition: 1 } },
    ],
  ] as const)('that is refused for %s leaves nothing', async (_what, operations, preconditions, expected) => {
    const shard = await TestShard.open();
    await shard.mkdir('/taken');
    const before = rowsOf(shard);
    await expect(transact(shard, operations, preconditions)).rejects.toMatchObject({ ...expected, outcome: 'not-applied' });
    expect(rowsOf(shard)).toEqual(before);
  });

  test('gives its first result to a retry and refuses other operations under its id', async () => {
    const shard = await TestShard.open();
    const operations = [publish('/a', 'A'), unlink('/a'), create('/b')];
    const first = await shard.as('tx', 'transact', { operations });
    expect(await shard.as('tx', 'transact', { operations }, 'durable', 5)).toEqual(first);
    expect(shard.engine.durableVersion).toBe(first.version);
    await expect(shard.as('tx', 'transact', { operations: [publish('/a', 'B'), unlink('/a'), create('/b')] })).rejects.toMatchObject({
      code: 'request-reused',
    });
  });

  test('twice at the same moment takes effect once', async () => {
    const shard = await TestShard.open();
    const args = { operations: [create('/a'), create('/b')] };
    const [first, second] = await Promise.all([shard.as('tx', 'transact', args), shard.as('tx', 'transact', args)]);
    expect(second).toEqual(first);
  });

  test('that writes a file twice makes one generation of it, and keeps the blocks of the second alone', async () => {
    const shard = await TestShard.open(new MemoryKv(), { retention: { uploadMs: 0, extentMs: 0, bodyMs: 0 } });
    const uploads = [];
    for (let i = 0; i < 2; i++) uploads.push((await shard.do('begin-upload', { target: 't', ttlMs: 60_000 })).result.upload);
    const blocks = uploads.map((upload): object => ({
      body: { kind: 'blocks', manifest: { size: 9, extents: [{ upload, index: 0, offset: 0, length: 9, crc32c: 1, skip: 0, take: 9 }] } },
      upload,
    }));
    const { version, result } = await transact(shard, [publish('/f', '', blocks[0]), publish('/f', '', blocks[1])]);
    expect(result.results[1]).toMatchObject({ result: { generation: version, created: false, attributes: { ordinal: 1, size: 9 } } });
    expect(contradictions(shard.kv)).toEqual([]);
    const removed: string[] = [];
    shard.clock.ms += 1000;
    await shard.maintain(async (upload) => void removed.push(upload));
    expect(removed).toEqual([uploads[0]]);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('that makes and removes a file leaves no row of it', async () => {
    const shard = await TestShard.open();
    await shard.put('/kept', 'x');
    const before = (await shard.read('statfs', {})).inodesUsed;
    const { result } = await transact(shard, [publish('/f', 'x'), link('/f', '/g'), unlink('/f'), unlink('/g')]);
    const made = result.results[0] as { result: { attributes: { ino: InodeNumber } } };
    expect(historyOf(shard.kv, made.result.attributes.ino)).toEqual([]);
    expect((await shard.read('statfs', {})).inodesUsed).toBe(before);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('leaves one row of history for what it changed several times', async () => {
    const shard = await TestShard.open();
    const first = await shard.put('/f', 'one');
    const { ino } = first.result.attributes;
    const { version } = await transact(shard, [
      publish('/f', 'two'),
      rename('/f', '/g'),
      publish('/g', 'three'),
      { operation: 'setattr', args: { node: { ino }, mode: 0o600 } },
    ]);
    expect(historyOf(shard.kv, ino)).toEqual([{ replaced: version, birth: first.version }]);
    expect(await shard.stat('/g')).toMatchObject({ revision: 2, generation: version, ordinal: 2, mode: 0o600 });
    const old = await shard.read('open-read', { node: { ino }, generation: first.result.generation });
    expect(old.body).toEqual(inline('one'));
  });

  test('moves trees and replaces what its own operations made', async () => {
    const shard = await TestShard.open();
    await transact(shard, [mkdir('/a/b/c', true), publish('/a/b/c/f', 'x'), mkdir('/empty')]);
    await transact(shard, [
      rename('/a/b', '/empty'),
      { operation: 'rename', args: { from: at('/a'), to: at('/empty'), mode: 'exchange' } },
      { operation: 'remove-tree', args: { entry: at('/a/c') } },
      mkdir('/a/c'),
    ]);
    expect(await shard.names('/')).toEqual(['a', 'empty']);
    expect(await shard.names('/a')).toEqual(['c']);
    expect(await shard.names('/a/c')).toEqual([]);
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('of as many operations as are allowed applies, of one more does not', async () => {
    const shard = await TestShard.open();
    const operations = Array.from({ length: TRANSACT_MAX }, (_, i) => create(`/f${i}`));
    expect((await transact(shard, operations)).result.results).toHaveLength(TRANSACT_MAX);
    await expect(transact(shard, [...operations, unlink('/f0')])).rejects.toMatchObject({ code: 'too-large' });
    await expect(
      transact(
        shard,
        Array.from({ length: 300 }, (_, i) => publish(`/g${i}`, 'x'.repeat(16_384))),
      ),
    ).rejects.toMatchObject({
      code: 'too-large',
    });
    const deep = `/${'d/'.repeat(1000)}`;
    await expect(
      transact(
        shard,
        Array.from({ length: 200 }, (_, i) => mkdir(`${deep}${i}`, true)),
      ),
    ).rejects.toMatchObject({ code: 'too-large' });
    // As many as are allowed, each with its parents: more changes than one transaction may make.
    const wide = Array.from({ length: 1000 }, (_, i) => mkdir(`/wide/${i}/1/2/3/4/5/6/7/8/9`, true));
    await expect(transact(shard, wide)).rejects.toMatchObject({ code: 'too-large', details: { index: expect.any(Number) } });
    expect(await shard.names('/')).not.toContain('wide');
    await expect(transact(shard, [{ operation: 'begin-tree', args: {} } as unknown as ListedMutation])).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { index: 0 },
    });
  });

  test('gives fresh inode numbers to each operation and after a crash to nobody twice', async () => {
    const shard = await TestShard.open();
    const { result } = await transact(shard, [mkdir('/a/b', true), mkdir('/c/d', true), create('/e')]);
    const next = await shard.create('/f');
    const made = result.results.map((each) => (each as { result: { attributes: { ino: number } } }).result.attributes.ino);
    expect(new Set([...made, next]).size).toBe(4);
    const reopened = await TestShard.open((shard.kv as MemoryKv).powerCut(), { clock: shard.clock, prefix: 'again' });
    expect(await reopened.create('/g')).toBeGreaterThan(Math.max(...made, next));
  });
});

describe('a precondition', () => {
  const held: readonly (readonly [string, Precondition])[] = [
    ['existence', { node: at('/f') }],
    ['absence', { node: at('/nothing'), exists: false }],
    ['absence below what is absent', { node: at('/nothing/at/all'), exists: false }],
    ['absence below a file', { node: at('/f/x'), exists: false }],
    ['a type', { node: at('/d'), type: 'directory' }],
    ['the type of a symlink', { node: at('/s'), type: 'symlink' }],
    ['the type behind a symlink', { node: at('/s'), follow: true, type: 'file' }],
    ['a digest', { node: at('/f'), digest: 'sha256:aa' }],
    ['an empty directory', { node: at('/e'), empty: true }],
    ['a directory with entries', { node: at('/d'), empty: false }],
  ];
  const broken: readonly (readonly [string, Precondition, string])[] = [
    ['existence', { node: at('/nothing') }, 'not-found'],
    ['absence', { node: at('/f'), exists: false }, 'exists'],
    ['a type', { node: at('/f'), type: 'directory' }, 'type-mismatch'],
    ['a revision', { node: at('/f'), revision: 99 }, 'revision-mismatch'],
    ['a generation', { node: at('/f'), generation: 99 as Generation }, 'generation-mismatch'],
    ['an inode', { node: at('/f'), ino: 99 as InodeNumber }, 'revision-mismatch'],
    ['a digest', { node: at('/f'), digest: 'sha256:bb' }, 'generation-mismatch'],
    ['a digest where there is no body', { node: at('/d'), digest: 'sha256:bb' }, 'generation-mismatch'],
    ['an empty directory', { node: at('/d'), empty: true }, 'not-empty'],
    ['emptiness of a file', { node: at('/f'), empty: true }, 'not-directory'],
    ['absence with properties', { node: at('/nothing'), exists: false, revision: 1 }, 'invalid-argument'],
  ];

  async function sample(): Promise<TestShard> {
    const shard = await TestShard.open();
    await shard.put('/f', 'x', { digest: 'sha256:aa' });
    await shard.mkdir('/d/x', true);
    await shard.mkdir('/e');
    await shard.do('symlink', { entry: at('/s'), target: bytes('f'), ...OWNER });
    return shard;
  }

  test.each(held)('of %s lets the transaction through', async (_what, precondition) => {
    const shard = await sample();
    await transact(shard, [create('/new')], [precondition]);
    expect(await shard.names('/')).toContain('new');
  });

  test.each(broken)('of %s stops it', async (_what, precondition, code) => {
    const shard = await sample();
    await expect(transact(shard, [create('/new')], [{ node: at('/') }, precondition])).rejects.toMatchObject({
      code,
      details: { precondition: 1 },
    });
    expect(await shard.names('/')).not.toContain('new');
  });

  test('of revision and generation is a compare-and-set over several files', async () => {
    const shard = await sample();
    const { revision, generation, ino } = await shard.stat('/f');
    const preconditions = [{ node: at('/f'), revision, generation, ino }];
    await transact(shard, [publish('/f', 'y'), create('/seen')], preconditions);
    await expect(transact(shard, [unlink('/seen')], preconditions)).rejects.toMatchObject({ code: 'revision-mismatch' });
  });
});

describe('a batch', () => {
  test('gives an answer each; what is refused does not touch its neighbours', async () => {
    const shard = await TestShard.open();
    const items = [create('/a'), create('/a'), unlink('/nothing'), { ...publish('/b', 'B'), requestId: requestId('own') }, mkdir('/c/d')];
    const answers = await shard.engine.mutateMany(items, { requestId: requestId('batch'), actor: 't', acknowledgement: 'durable' });
    expect(answers.map((answer) => (answer.ok ? answer.value.operation : answer.error.code))).toEqual([
      'create',
      'exists',
      'not-found',
      'publish',
      'not-found',
    ]);
    const versions = answers.flatMap((answer) => (answer.ok ? [answer.value.version] : []));
    expect(versions[1]).toBe((versions[0] as number) + 1);
    expect(await shard.names('/')).toEqual(['a', 'b']);
    // Each has an id of its own: the batch again, and one of its items alone, give the first results.
    const again = await shard.engine.mutateMany(items, { requestId: requestId('batch'), actor: 't', acknowledgement: 'durable' });
    expect(again[0]).toEqual(answers[0]);
    expect(again[3]).toEqual(answers[3]);
    const { result } = await shard.as('batch.0', 'create', items[0]?.args as never);
    expect(answers[0]).toMatchObject({ value: { result } });
    expect(await shard.as('own', 'publish', items[3]?.args as never)).toMatchObject({ version: versions[1] });
  });

  test('of one turn shares a commit', async () => {
    const shard = await TestShard.open();
    const items = Array.from({ length: 128 }, (_, i) => create(`/f${i}`));
    const before = shard.engine.stats;
    await shard.engine.mutateMany(items, { requestId: requestId('batch'), actor: 't', acknowledgement: 'durable' });
    expect(shard.engine.stats.flushes - before.flushes).toBe(1);
  });

  test('of nothing is answered with nothing; one that cannot be taken is refused as a whole', async () => {
    const shard = await TestShard.open();
    const context = { requestId: requestId('batch'), actor: 't', acknowledgement: 'durable' } as const;
    expect(await shard.engine.mutateMany([], context)).toEqual([]);
    await expect(shard.engine.mutateMany(Array(4097).fill(create('/a')) as ListedMutation[], context)).rejects.toMatchObject({
      code: 'too-large',
    });
    await expect(shard.engine.mutateMany([create('/a')], { ...context, requestId: 'x'.repeat(62) as RequestId })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(await shard.names('/')).toEqual([]);
  });
});

describe('in a fork that shows its origin still', () => {
  async function forked(): Promise<TestShard> {
    const shard = await TestShard.open();
    await shard.mkdir('/base/d', true);
    for (let i = 0; i < 20; i++) await shard.put(`/base/d/${i}`, `${i}`);
    await shard.do('clone', { from: at('/base'), to: at('/fork'), ...OWNER });
    return shard;
  }

  test('reads of many answer for every node', async () => {
    const shard = await forked();
    const nodes = [...Array.from({ length: 20 }, (_, i) => at(`/fork/d/${i}`)), at('/fork/d/none')];
    const { answers } = await shard.read('stat-many', { nodes });
    expect(answers.map((answer) => (answer.ok ? answer.value.size : answer.error.code))).toEqual([
      ...Array.from({ length: 20 }, (_, i) => `${i}`.length),
      'not-found',
    ]);
    const read = await shard.read('read-many', { nodes: nodes.slice(5, 8), bytesMax: 100_000 });
    expect(read.answers.map((answer) => answer.ok && answer.value.body)).toEqual(['5', '6', '7'].map(inline));
  });

  test('a transaction sees what the fork shows, and leaves the origin alone', async () => {
    const shard = await forked();
    await transact(
      shard,
      [rename('/fork/d/1', '/fork/moved'), publish('/fork/d/2', 'changed'), unlink('/fork/d/3'), link('/fork/d/4', '/fork/l')],
      [{ node: at('/fork/d/5') }, { node: at('/fork/d/none'), exists: false }],
    );
    expect(await shard.names('/fork')).toEqual(['d', 'l', 'moved']);
    expect([await shard.text('/fork/moved'), await shard.text('/fork/d/2'), await shard.text('/fork/l')]).toEqual(['1', 'changed', '4']);
    expect((await shard.names('/fork/d')).length).toBe(18);
    expect((await shard.names('/base/d')).length).toBe(20);
    expect(await shard.text('/base/d/2')).toBe('2');
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });
});

describe('reads of many', () => {
  test('answer each node for itself', async () => {
    const shard = await TestShard.open();
    await shard.put('/a', 'A');
    await shard.mkdir('/d');
    const { answers } = await shard.read('stat-many', { nodes: [at('/a'), at('/nothing'), at('/d')] });
    expect(answers.map((answer) => (answer.ok ? answer.value.type : answer.error.code))).toEqual(['file', 'not-found', 'directory']);
    const read = await shard.read('read-many', { nodes: [at('/a'), at('/d'), at('/a')], bytesMax: 600 });
    expect(read.answers.map((answer) => (answer.ok ? answer.value.body : answer.error.code))).toEqual([
      inline('A'),
      'is-directory',
      'too-large',
    ]);
    const nodes = Array.from({ length: 257 }, () => at('/a'));
    await expect(shard.read('stat-many', { nodes })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(shard.read('read-many', { nodes: [], bytesMax: 2 ** 30 })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
