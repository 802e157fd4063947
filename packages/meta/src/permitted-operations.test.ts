import { describe, expect, test } from 'vitest';
import {
  requestId,
  type Caller,
  type InodeNumber,
  type MutationOperation,
  type MutationOperations,
  type MutationResult,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
} from '@nokv/types';
import { contradictions } from './testing/check-rows.js';
import { TestShard, at, inline } from './testing/test-shard.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
let requests = 0;

/** Calls on behalf of a user. */
class As {
  readonly #shard: TestShard;
  readonly #caller: Caller;

  constructor(shard: TestShard, uid: number, ...groups: number[]) {
    this.#shard = shard;
    this.#caller = { uid, gid: groups[0] ?? uid, groups: groups.slice(1) };
  }

  async do<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args'], id?: string): Promise<MutationResult<Op>> {
    requests += 1;
    const context = { requestId: requestId(id ?? `as-${requests}`), actor: 't', acknowledgement: 'durable' } as const;
    return (await this.#shard.engine.mutate(operation, args, { ...context, caller: this.#caller })).result;
  }

  async read<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args']): Promise<ReadResult<Op>> {
    return await this.#shard.engine.read(operation, args, { visible: false, caller: this.#caller });
  }

  get owner(): { readonly uid: number; readonly gid: number } {
    return { uid: this.#caller.uid, gid: this.#caller.gid };
  }

  mkdir(path: string, mode = 0o755): Promise<unknown> {
    return this.do('mkdir', { entry: at(path), mode, ...this.owner });
  }

  put(
    path: string,
    text: string,
    mode = 0o644,
    more: Partial<MutationOperations['publish']['args']> = {},
  ): Promise<MutationResult<'publish'>> {
    return this.do('publish', { node: at(path), body: inline(text), mode, ...this.owner, ...more });
  }

  unlink(path: string): Promise<unknown> {
    return this.do('unlink', { entry: at(path) });
  }

  rename(from: string, to: string, mode: 'replace' | 'exchange' = 'replace'): Promise<unknown> {
    return this.do('rename', { from: at(from), to: at(to), mode });
  }

  open(path: string): Promise<unknown> {
    return this.read('open-read', { node: at(path) });
  }
}

const denied = { code: 'permission-denied', outcome: 'not-applied' };
const notPermitted = { code: 'not-permitted', outcome: 'not-applied' };

/** A root that anybody may write, users 1000 (group 100) and 1001 (group 101), and the superuser. */
async function sample(): Promise<{ shard: TestShard; a: As; b: As; root: As }> {
  const shard = await TestShard.open();
  await shard.do('setattr', { node: at('/'), mode: 0o777 });
  return { shard, a: new As(shard, 1000, 100), b: new As(shard, 1001, 101), root: new As(shard, 0, 0) };
}

describe('files', () => {
  test('of mode 0600 are read and written by their owner and the superuser alone', async () => {
    const { a, b, root, shard } = await sample();
    await a.put('/f', 'secret', 0o600);
    await expect(b.open('/f')).rejects.toMatchObject(denied);
    await expect(b.put('/f', 'x')).rejects.toMatchObject(denied);
    await expect(b.do('setattr', { node: at('/f'), size: 0 })).rejects.toMatchObject(denied);
    await a.open('/f');
    await root.open('/f');
    await root.put('/f', 'changed', 0o644);
    // What a stat shows needs no right on the file itself.
    expect(await b.read('stat', { node: at('/f') })).toMatchObject({ mode: 0o600, uid: 1000 });
    const { answers } = await b.read('read-many', { nodes: [at('/f')], bytesMax: 1000 });
    expect(answers).toMatchObject([{ ok: false, error: denied }]);
    expect(await shard.text('/f')).toBe('changed');
  });

  test('lend their blocks to those who may read them', async () => {
    const { a, b, shard } = await sample();
    const { upload } = await a.do('begin-upload', { target: 't', ttlMs: 60_000 });
    const body = {
      kind: 'blocks' as const,
      manifest: { size: 9, extents: [{ upload, index: 0, offset: 0, length: 9, crc32c: 1, skip: 0, take: 9 }] },
    };
    const { attributes } = await a.put('/f', '', 0o600, { body, upload });
    await expect(b.put('/copy', '', 0o644, { body, base: attributes.ino })).rejects.toMatchObject(denied);
    await a.do('setattr', { node: at('/f'), mode: 0o604 });
    await b.put('/copy', '', 0o644, { body, base: attributes.ino });
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('lose set-id bits when others than the superuser write, cut or get them', async () => {
    const { a, root, shard } = await sample();
    const mode = async (): Promise<number> => (await shard.stat('/f')).mode;
    await a.put('/f', 'one', 0o4755);
    expect(await mode()).toBe(0o4755);
    await a.put('/f', 'two');
    expect(await mode()).toBe(0o755);
    await a.do('setattr', { node: at('/f'), mode: 0o6755 });
    await a.do('setattr', { node: at('/f'), size: 1 });
    expect(await mode()).toBe(0o755);
    await a.do('setattr', { node: at('/f'), mode: 0o6755 });
    await root.put('/f', 'three');
    expect(await mode()).toBe(0o6755);
    await root.do('setattr', { node: at('/f'), uid: 1001 });
    expect(await mode()).toBe(0o755);
  });
});

describe('directories', () => {
  test('on the way must let the caller search, in paths, lookups, symlinks and dots', async () => {
    const { a, b } = await sample();
    await a.mkdir('/shut', 0o700);
    await a.mkdir('/shut/in', 0o777);
    await a.put('/shut/in/f', 'x');
    const { attributes } = await b.do('symlink', { entry: at('/s'), target: bytes('shut/in/f'), ...b.owner });
    expect(attributes.type).toBe('symlink');
    const shut = (await b.read('stat', { node: at('/shut') })).ino;
    await expect(b.read('stat', { node: at('/shut/in') })).rejects.toMatchObject(denied);
    await expect(b.read('stat', { node: at('/shut/nothing') })).rejects.toMatchObject(denied);
    await expect(b.read('lookup', { parent: shut, name: bytes('in') })).rejects.toMatchObject(denied);
    await expect(b.open('/s')).rejects.toMatchObject(denied);
    await expect(b.put('/shut/in/g', 'x')).rejects.toMatchObject(denied);
    await expect(b.rename('/shut/in/f', '/f')).rejects.toMatchObject(denied);
    await expect(b.do('link', { node: at('/shut/in/f'), entry: at('/l') })).rejects.toMatchObject(denied);
    const { ino } = await a.read('stat', { node: at('/shut/in/f') });
    await expect(b.read('path-of', { ino })).rejects.toMatchObject({ code: 'not-found' });
    expect(Buffer.from((await a.read('path-of', { ino })).path).toString()).toBe('/shut/in/f');
    await a.do('setattr', { node: at('/shut'), mode: 0o711 });
    await b.open('/s');
    await expect(b.read('list', { node: at('/shut'), limit: 10, attributes: false })).rejects.toMatchObject(denied);
    await a.do('setattr', { node: at('/shut'), mode: 0o744 });
    expect((await b.read('list', { node: at('/shut'), limit: 10, attributes: false })).entries).toHaveLength(1);
    await expect(b.read('list', { node: at('/shut'), limit: 10, attributes: true })).rejects.toMatchObject(denied);
  });

  test('take and lose names by those who may write them', async () => {
    const { a, b, shard } = await sample();
    await a.mkdir('/d');
    await a.put('/d/f', 'x', 0o666);
    await b.mkdir('/mine');
    for (const refused of [
      () => b.mkdir('/d/x'),
      () => b.put('/d/x', ''),
      () => b.do('create', { entry: at('/d/x'), mode: 0o644, type: 'file', exclusive: true, ...b.owner }),
      () => b.do('symlink', { entry: at('/d/x'), target: bytes('y'), ...b.owner }),
      () => b.do('link', { node: at('/d/f'), entry: at('/d/x') }),
      () => b.unlink('/d/f'),
      () => b.rename('/d/f', '/mine/f'),
      () => b.rename('/mine', '/d/mine'),
      () => b.rename('/d/f', '/mine', 'exchange'),
      () => b.do('mkdir', { entry: at('/d/x/y'), mode: 0o755, parents: true, ...b.owner }),
      () => b.put('/d/x/y', '', 0o644, { parents: true }),
    ]) {
      await expect(refused()).rejects.toMatchObject(denied);
    }
    // A link to a foreign file is allowed where the new name may be entered, as Linux does with its default of old.
    await b.do('link', { node: at('/d/f'), entry: at('/mine/f') });
    await b.put('/d/f', 'written by all');
    expect(await shard.names('/d')).toEqual(['f']);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('that are sticky keep names for their owners', async () => {
    const { a, b, root, shard } = await sample();
    await root.mkdir('/tmp', 0o1777);
    await a.put('/tmp/a', 'a', 0o666);
    await a.mkdir('/tmp/d', 0o777);
    await b.put('/tmp/b', 'b', 0o666);
    await expect(b.unlink('/tmp/a')).rejects.toMatchObject(notPermitted);
    await expect(b.rename('/tmp/a', '/tmp/c')).rejects.toMatchObject(notPermitted);
    await expect(b.rename('/tmp/b', '/tmp/a')).rejects.toMatchObject(notPermitted);
    await expect(b.rename('/tmp/b', '/tmp/a', 'exchange')).rejects.toMatchObject(notPermitted);
    await expect(b.do('rmdir', { entry: at('/tmp/d') })).rejects.toMatchObject(notPermitted);
    await b.rename('/tmp/b', '/tmp/c');
    await b.unlink('/tmp/c');
    await a.unlink('/tmp/a');
    await root.do('rmdir', { entry: at('/tmp/d') });
    expect(await shard.names('/tmp')).toEqual([]);
  });

  test('move to another parent only where they may be written themselves', async () => {
    const { a, b } = await sample();
    await a.mkdir('/theirs', 0o755);
    await b.mkdir('/mine');
    await b.rename('/theirs', '/renamed');
    await expect(b.rename('/renamed', '/mine/x')).rejects.toMatchObject(denied);
    await a.do('setattr', { node: at('/renamed'), mode: 0o777 });
    await b.rename('/renamed', '/mine/x');
  });

  test('with set-gid give their group and bit on', async () => {
    const { a, b, root, shard } = await sample();
    await root.mkdir('/shared', 0o2777);
    await root.do('setattr', { node: at('/shared'), gid: 500, mode: 0o2777 });
    await a.mkdir('/shared/d');
    await b.put('/shared/d/../f', 'x', 0o2755);
    expect(await shard.stat('/shared/d')).toMatchObject({ gid: 500, mode: 0o2755, uid: 1000 });
    // User 1001 is no member of group 500.
    expect(await shard.stat('/shared/f')).toMatchObject({ gid: 500, mode: 0o755, uid: 1001 });
  });
});

describe('whole trees', () => {
  test('are removed at once by those who could remove them name by name', async () => {
    const { a, b, shard } = await sample();
    await a.mkdir('/t', 0o777);
    await a.mkdir('/t/open', 0o777);
    await a.put('/t/open/f', 'x');
    await a.mkdir('/t/shut', 0o755);
    await b.do('remove-tree', { entry: at('/t/shut') });
    await a.mkdir('/t/shut', 0o755);
    await a.put('/t/shut/f', 'x');
    await expect(b.do('remove-tree', { entry: at('/t') })).rejects.toMatchObject(denied);
    await b.do('remove-tree', { entry: at('/t/open') });
    await a.do('remove-tree', { entry: at('/t') });
    await shard.maintain();
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('of a fork that shows its origin still are looked through, too', async () => {
    const { a, b, shard } = await sample();
    await a.mkdir('/t', 0o777);
    await a.mkdir('/t/shut', 0o755);
    for (let i = 0; i < 10; i++) await a.put(`/t/shut/${i}`, 'x');
    await shard.do('clone', { from: at('/t'), to: at('/fork'), uid: 1000, gid: 100 });
    await expect(b.do('remove-tree', { entry: at('/fork/shut') })).rejects.toMatchObject(denied);
    await a.do('remove-tree', { entry: at('/fork') });
    await shard.maintain();
    expect(await shard.names('/')).toEqual(['t']);
    expect(contradictions(shard.kv)).toEqual([]);
  });

  test('that are too large to look through are to be removed in parts', async () => {
    const { a, shard } = await sample();
    await a.mkdir('/big');
    for (let i = 0; i < 5; i++) {
      const items = Array.from({ length: 1000 }, (_, k) => ({
        operation: 'create' as const,
        args: { entry: at(`/big/${i}-${k}`), mode: 0o644, type: 'file' as const, exclusive: true, ...a.owner },
      }));
      await shard.do('transact', { operations: items });
    }
    await expect(a.do('remove-tree', { entry: at('/big') })).rejects.toMatchObject({ code: 'too-large' });
    await shard.do('remove-tree', { entry: at('/big') });
  });

  test('are published by those who staged them', async () => {
    const { a, b, shard } = await sample();
    const { root } = await a.do('begin-tree', { mode: 0o755, ttlMs: 60_000, ...a.owner });
    const publish = (as: As, to: string): Promise<unknown> => as.do('publish-tree', { root, to: at(to), replace: true, ...as.owner });
    await a.do('create', { entry: { parent: root, name: bytes('f') }, mode: 0o644, type: 'file', exclusive: true, ...a.owner });
    await expect(
      b.do('create', { entry: { parent: root, name: bytes('g') }, mode: 0o644, type: 'file', exclusive: true, ...b.owner }),
    ).rejects.toMatchObject(denied);
    await expect(publish(b, '/t')).rejects.toMatchObject(notPermitted);
    await b.mkdir('/theirs');
    await b.put('/theirs/f', 'x');
    await expect(publish(a, '/theirs')).rejects.toMatchObject(denied);
    await publish(a, '/t');
    expect(await shard.names('/t')).toEqual(['f']);
  });
});

describe('the past', () => {
  test('is shown by the permissions of then', async () => {
    const { a, b, root, shard } = await sample();
    await a.put('/f', 'open then', 0o644);
    await a.mkdir('/d', 0o700);
    await a.put('/d/g', 'shut then', 0o644);
    const { version } = await shard.do('setattr', { node: at('/f'), mode: 0o600 });
    const then = { version: (version - 1) as typeof version };
    await shard.do('setattr', { node: at('/d'), mode: 0o755 });
    await b.read('open-read', { node: at('/f'), at: then });
    await expect(b.open('/f')).rejects.toMatchObject(denied);
    await b.open('/d/g');
    await expect(b.read('open-read', { node: at('/d/g'), at: then })).rejects.toMatchObject(denied);
    await expect(b.read('list', { node: at('/d'), limit: 9, attributes: false, at: then })).rejects.toMatchObject(denied);
    const { answers } = await b.read('stat-many', { nodes: [at('/f'), at('/d/g')], at: then });
    expect(answers).toMatchObject([
      { ok: true, value: { mode: 0o644 } },
      { ok: false, error: denied },
    ]);
    const old = await shard.stat('/d/g');
    await shard.do('setattr', { node: at('/d'), mode: 0o700 });
    await shard.do('unlink', { entry: at('/d/g') });
    await expect(b.read('open-read', { node: at('/d/g'), generation: old.generation })).rejects.toMatchObject(denied);
    await root.read('open-read', { node: at('/d/g'), generation: old.generation });
  });

  test('below a pinned root is for those who may see all of it', async () => {
    const { a, root, shard } = await sample();
    await a.mkdir('/d', 0o755);
    const { result } = await shard.do('snapshot-create', { node: at('/d'), name: 's', labels: [], ttlMs: 60_000 });
    const asked = { node: at('/d'), at: { snapshot: result.pin.id } };
    await expect(a.read('stat', asked)).rejects.toMatchObject(notPermitted);
    expect((await root.read('stat', asked)).type).toBe('directory');
  });
});

describe('attributes', () => {
  test('belong to owners', async () => {
    const { a, b, root, shard } = await sample();
    await a.put('/f', 'x', 0o666);
    const now = { atime: 'now', mtime: 'now' } as const;
    await expect(b.do('setattr', { node: at('/f'), mode: 0o777 })).rejects.toMatchObject(notPermitted);
    await expect(b.do('setattr', { node: at('/f'), uid: 1001 })).rejects.toMatchObject(notPermitted);
    await expect(a.do('setattr', { node: at('/f'), uid: 1001 })).rejects.toMatchObject(notPermitted);
    await expect(b.do('setattr', { node: at('/f'), mtime: { sec: 1, nsec: 0 } })).rejects.toMatchObject(notPermitted);
    await expect(b.put('/f', 'x', 0o600, { setMode: true })).rejects.toMatchObject(notPermitted);
    await expect(b.put('/f', 'x', 0o644, { mtime: { sec: 1, nsec: 0 } })).rejects.toMatchObject(notPermitted);
    await b.do('setattr', { node: at('/f'), ...now });
    await a.do('setattr', { node: at('/f'), gid: 100, mode: 0o600, mtime: { sec: 1, nsec: 0 } });
    await expect(b.do('setattr', { node: at('/f'), ...now })).rejects.toMatchObject(denied);
    await root.do('setattr', { node: at('/f'), uid: 1001, gid: 101 });
    await b.do('setattr', { node: at('/f'), mode: 0o640 });
    expect(await shard.stat('/f')).toMatchObject({ uid: 1001, gid: 101, mode: 0o640 });
  });

  test('of users go by the mode', async () => {
    const { a, b } = await sample();
    await a.put('/f', 'x', 0o644);
    const attribute = { node: at('/f'), name: bytes('user.k') };
    await expect(b.do('xattr-set', { ...attribute, value: bytes('v'), mode: 'set' })).rejects.toMatchObject(denied);
    await a.do('xattr-set', { ...attribute, value: bytes('v'), mode: 'set' });
    expect(await b.read('xattr-get', attribute)).toEqual({ value: bytes('v') });
    await expect(b.do('xattr-remove', attribute)).rejects.toMatchObject(denied);
    await a.do('setattr', { node: at('/f'), mode: 0o600 });
    await expect(b.read('xattr-get', attribute)).rejects.toMatchObject(denied);
  });
});

describe('a caller', () => {
  test('makes things of its own', async () => {
    const { a, root, shard } = await sample();
    await expect(a.do('mkdir', { entry: at('/d'), mode: 0o755, uid: 0, gid: 0 })).rejects.toMatchObject(notPermitted);
    await root.do('mkdir', { entry: at('/d'), mode: 0o755, uid: 7, gid: 8 });
    expect(await shard.stat('/d')).toMatchObject({ uid: 7, gid: 8 });
  });

  test('that is refused in a transaction has none of it, and in a batch none of that item', async () => {
    const { a, b, shard } = await sample();
    await a.mkdir('/d');
    const create = (path: string) => ({
      operation: 'create' as const,
      args: { entry: at(path), mode: 0o644, type: 'file' as const, exclusive: true, ...b.owner },
    });
    await expect(b.do('transact', { operations: [create('/x'), create('/d/x')] })).rejects.toMatchObject({
      ...denied,
      details: { index: 1 },
    });
    expect(await shard.names('/')).toEqual(['d']);
    const answers = await shard.engine.mutateMany([create('/x'), create('/d/x')], {
      requestId: requestId('batch'),
      actor: 't',
      acknowledgement: 'durable',
      caller: { uid: 1001, gid: 101, groups: [] },
    });
    expect(answers).toMatchObject([{ ok: true }, { ok: false, error: denied }]);
  });

  test('does not share request ids with another', async () => {
    const { a, b } = await sample();
    const args = { entry: at('/f'), mode: 0o644, type: 'file' as const, exclusive: true, uid: 1000, gid: 100 };
    const first = await a.do('create', args, 'shared');
    expect(await a.do('create', args, 'shared')).toEqual(first);
    await expect(b.do('create', args, 'shared')).rejects.toMatchObject({ code: 'request-reused' });
  });

  test('of limited rights asks for nothing that checks none', async () => {
    const { a, root } = await sample();
    await expect(a.read('changes', { since: 0 as never, limit: 10 })).rejects.toMatchObject(notPermitted);
    await root.read('changes', { since: 0 as never, limit: 10 });
    await expect(a.do('setattr', { node: { ino: 99 as InodeNumber }, mode: 0 })).rejects.toMatchObject({ code: 'not-found' });
    await expect(a.do('snapshot-create', { node: at('/'), name: 's', labels: [], ttlMs: 1000 })).rejects.toMatchObject(notPermitted);
  });
});
