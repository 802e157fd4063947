/** The past through the SDK: what a snapshot shows while others write, in pages and in streams. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DirectoryEntry } from '@nokv/client';
import { patternBytes, sha256, startClientFixture, type ClientFixture } from './client-fixture.js';

let fixture: ClientFixture;
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'historian' });
});
afterAll(async () => await fixture?.close());

const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const seen: T[] = [];
  for await (const item of items) seen.push(item);
  return seen;
};

describe('a snapshot', () => {
  test('shows the body before a publish that had begun before it', async () => {
    const { client } = fixture;
    const [old, next] = [patternBytes(300_000, 1), patternBytes(300_000, 2)];
    await client.put('/begun/f', old, { parents: true });
    const staged = await client.stage(next);
    const { pin } = await client.snapshots.create('/begun');
    const at = { snapshot: pin.id };
    await client.publish('/begun/f', staged);
    expect(sha256(await (await client.get('/begun/f', { at })).bytes())).toBe(sha256(old));
    expect(sha256(await (await client.get('/begun/f')).bytes())).toBe(sha256(next));
    // Published over and over, removed, and pruned as far as may be.
    for (let i = 0; i < 3; i++) await client.put('/begun/f', patternBytes(300_000, 3 + i));
    await client.remove('/begun/f');
    for await (const pruned of client.prune('/begun', { keepLast: 0, keepMs: 0 })) expect(pruned.generation).not.toBe(pin.version);
    expect(sha256(await (await client.get('/begun/f', { at, verify: true })).bytes())).toBe(sha256(old));
  });

  test('lists a large directory in pages while its names come and go', async () => {
    const { client } = fixture;
    await client.mkdir('/many');
    const names = Array.from({ length: 3000 }, (_, i) => `f${String(i).padStart(5, '0')}`);
    await Promise.all(names.map((name) => client.put(`/many/${name}`, name)));
    const { pin } = await client.snapshots.create('/many');
    const seen: string[] = [];
    let turn = 0;
    for await (const { name, attributes } of client.list('/many', { at: { snapshot: pin.id }, limit: 250 })) {
      seen.push(name);
      expect(attributes?.size).toBe(6);
      if (seen.length % 200 !== 0) continue;
      // Ahead of the reader: removed, renamed, overwritten, made.
      turn += 1;
      const ahead = (offset: number) => `/many/${names[seen.length + offset] ?? 'none'}`;
      await Promise.all([
        client.unlink(ahead(10)).catch(() => undefined),
        client.rename(ahead(20), `/many/renamed-${turn}`).catch(() => undefined),
        client.put(ahead(30), 'another body', { ifGeneration: undefined }),
        client.put(`/many/f${String(seen.length + 50).padStart(5, '0')}x`, 'new'),
      ]);
    }
    expect(seen).toEqual(names);
    const now = (await all<DirectoryEntry>(client.list('/many'))).map(({ name }) => name);
    expect(now).not.toEqual(names);
  });

  test('streams a large body while it is replaced', async () => {
    const { client } = fixture;
    const body = patternBytes(24_000_000, 7);
    await client.put('/large', body);
    const { pin } = await client.snapshots.create('/large');
    const chunks: Uint8Array[] = [];
    let replaced = false;
    for await (const chunk of (await client.get('/large', { at: { snapshot: pin.id } })).stream()) {
      chunks.push(chunk);
      if (!replaced) await client.put('/large', 'small');
      replaced = true;
    }
    expect(sha256(Buffer.concat(chunks))).toBe(sha256(body));
    expect((await client.stat('/large')).size).toBe(5);
  });

  test('that is retired in the middle of a listing ends it with an error, never with holes', async () => {
    const { client } = fixture;
    await client.mkdir('/retired');
    for (let i = 0; i < 30; i++) await client.put(`/retired/${i}`, '');
    const { pin } = await client.snapshots.create('/retired');
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { name } of client.list('/retired', { at: { snapshot: pin.id }, limit: 10 })) {
        seen.push(name);
        if (seen.length === 10) await client.snapshots.retire(pin.id);
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'snapshot-expired', kind: 'not-found' });
    expect(seen).toHaveLength(10);
  });

  test('is listed to the last one, past the size of a page', async () => {
    const { client } = fixture;
    await client.mkdir('/pins');
    const made = await Promise.all(Array.from({ length: 1100 }, () => client.snapshots.create('/pins', { ttlMs: 60_000 })));
    const ids = made.map(({ pin }) => pin.id as number).toSorted((a, b) => a - b);
    expect((await all(client.snapshots.list({ path: '/pins' }))).map(({ id }) => id as number)).toEqual(ids);
    await Promise.all(made.map(({ pin }) => client.snapshots.retire(pin.id)));
    expect(await all(client.snapshots.list({ path: '/pins' }))).toEqual([]);
  });
});

describe('a tag', () => {
  test('that is moved in the middle of a listing does not mix two states', async () => {
    const { client } = fixture;
    await client.mkdir('/tagged');
    for (let i = 0; i < 30; i++) await client.put(`/tagged/a${i}`, '');
    await client.tags.set('moving', '/tagged');
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { name } of client.list('/tagged', { at: { tag: 'moving' }, limit: 10 })) {
        seen.push(name);
        if (seen.length !== 10) continue;
        await client.removeTree('/tagged');
        await client.mkdir('/tagged');
        await client.put('/tagged/z', '');
        await client.tags.move('moving', '/tagged');
      }
    })();
    const ended = await reading.then(
      () => 'all of it',
      (error: { code: string }) => error.code,
    );
    expect(seen.includes('z')).toBe(false);
    // Either the whole of the old state, or an error that says that it has gone.
    if (ended === 'all of it') expect(seen).toHaveLength(30);
    else expect(ended).toBe('snapshot-expired');
    await client.tags.remove('moving');
  });

  test('is moved by one of many who saw it at the same place', async () => {
    const { client } = fixture;
    await client.put('/raced', 'x');
    const { pin } = await client.tags.set('raced', '/raced');
    const moves = await Promise.allSettled(Array.from({ length: 16 }, () => client.tags.move('raced', '/raced', { ifPin: pin.id })));
    const codes = moves.map((move) => (move.status === 'fulfilled' ? 'moved' : (move.reason as { code: string }).code));
    expect(codes.toSorted()).toEqual(['moved', ...Array.from({ length: 15 }, () => 'tag-mismatch')]);
    await client.tags.remove('raced');
  });
});

describe('a cursor of prune', () => {
  test.each([['garbage'], ['\u00ff\u0000']])(
    'that nobody handed out (%j) is refused, for the plan and for the real run',
    async (cursor) => {
      const args = { node: { path: Buffer.from('/') }, limit: 10, cursor: Buffer.from(cursor, 'latin1') };
      await expect(fixture.client.metadata.read('prune-plan', args)).rejects.toMatchObject({ kind: 'invalid', outcome: 'not-applied' });
      await expect(fixture.client.metadata.mutate('prune', args)).rejects.toMatchObject({ kind: 'invalid', outcome: 'not-applied' });
    },
  );
});

describe('asked again under its request id', () => {
  test.each([
    ['snapshots.create', (id) => fixture.client.snapshots.create('/again', { requestId: id as never })],
    ['tags.set', (id) => fixture.client.tags.set('again', '/again', { requestId: id as never, ifPin: 0 })],
    ['clone', (id) => fixture.client.clone('/again', '/again-clone', { requestId: id as never })],
    ['revert', (id) => fixture.client.revert('/again/f', firstGeneration, { requestId: id as never })],
    ['rollback', (id) => fixture.client.rollback('/again', { snapshot: snapshotOfAgain }, { requestId: id as never })],
    ['retention.set', (id) => fixture.client.retention.set('/again', { keepLast: 2, keepMs: 1 }, { requestId: id as never })],
  ] satisfies [string, (id: string) => Promise<unknown>][])('%s takes effect once', async (name, act) => {
    const id = `once-${name.replace('.', '-')}`;
    const first = await act(id);
    expect(await act(id)).toEqual(first);
  });

  let firstGeneration = 0;
  let snapshotOfAgain = 0;
  beforeAll(async () => {
    const { client } = fixture;
    firstGeneration = (await client.put('/again/f', 'one', { parents: true })).generation;
    await client.put('/again/f', 'two');
    snapshotOfAgain = (await client.snapshots.create('/again')).pin.id;
  });
});
