/** What must hold of the namespace while many clients change it at once, each over a connection of its own. */
import { connect, type NokvClient } from '@nokv/client';
import { isNokvError, requestId, type InodeNumber } from '@nokv/types';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readMetric } from '../services/server.js';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

const CLIENTS = 16;
let fixture: ClientFixture;
let client: NokvClient;
let clients: NokvClient[];
let dir = '';
let count = 0;

beforeAll(async () => {
  fixture = await startClientFixture();
  ({ client } = fixture);
  clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect({ address: fixture.server.rpc })));
});
afterAll(async () => {
  await Promise.all((clients ?? []).map((each) => each.close()));
  await fixture?.close();
});
beforeEach(async () => {
  dir = `/c${++count}`;
  await client.mkdir(dir);
});

/** `done`, or the code of the refusal. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (isNokvError(error)) return error.code;
    throw error;
  }
}

/** How often each code came. */
function tally(codes: readonly string[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const code of codes) sums[code] = (sums[code] ?? 0) + 1;
  return sums;
}

const all = (work: (each: NokvClient, who: number) => Promise<unknown>): Promise<string[]> =>
  Promise.all(clients.map((each, who) => codeOf(work(each, who))));

async function names(path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of client.list(path, { limit: 7 })) found.push(name);
  return found;
}

describe('one winner', () => {
  test('makes a directory, an exclusive file or a link that 16 clients make at once; the others are told that it exists', async () => {
    const rest = CLIENTS - 1;
    expect(tally(await all((each) => each.mkdir(`${dir}/d`)))).toEqual({ done: 1, exists: rest });
    expect(tally(await all((each) => each.put(`${dir}/f`, 'x', { ifGeneration: 0 })))).toEqual({ done: 1, exists: rest });
    expect(tally(await all((each, who) => each.symlink(`${who}`, `${dir}/s`)))).toEqual({ done: 1, exists: rest });
    expect(tally(await all((each) => each.link(`${dir}/f`, `${dir}/l`)))).toEqual({ done: 1, exists: rest });
    expect(tally(await all((each) => each.mkdir(`${dir}/p/q/r`, { parents: true })))).toEqual({ done: CLIENTS });
    expect(await client.stat(dir)).toMatchObject({ nlink: 4, children: 5 });
  });

  test('removes a file, a directory and a tree', async () => {
    const rest = CLIENTS - 1;
    await client.put(`${dir}/f`, 'x');
    await client.mkdir(`${dir}/d`);
    await client.mkdir(`${dir}/t/u`, { parents: true });
    expect(tally(await all((each) => each.unlink(`${dir}/f`)))).toEqual({ done: 1, 'not-found': rest });
    expect(tally(await all((each) => each.rmdir(`${dir}/d`)))).toEqual({ done: 1, 'not-found': rest });
    expect(tally(await all((each) => each.removeTree(`${dir}/t`)))).toEqual({ done: 1, 'not-found': rest });
    expect(await client.stat(dir)).toMatchObject({ nlink: 2, children: 0 });
  });

  test('replaces a body whose generation 16 clients compare', async () => {
    const { generation } = await client.put(`${dir}/f`, 'start');
    const codes = await all((each, who) => each.put(`${dir}/f`, `by ${who}`, { ifGeneration: generation }));
    expect(tally(codes)).toEqual({ done: 1, 'generation-mismatch': CLIENTS - 1 });
    expect(await (await client.get(`${dir}/f`)).text()).toBe(`by ${codes.indexOf('done')}`);
  });

  test('moves one source to one of 16 targets', async () => {
    await client.put(`${dir}/from`, 'x');
    const codes = await all((each, who) => each.rename(`${dir}/from`, `${dir}/to-${who}`));
    expect(tally(codes)).toEqual({ done: 1, 'not-found': CLIENTS - 1 });
    expect(await names(dir)).toEqual([`to-${codes.indexOf('done')}`]);
  });
});

describe('a directory', () => {
  test('that is removed while directories are made in it either goes or keeps them, and says not-empty only when it is', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 40; round++) {
      await client.mkdir(`${dir}/d`);
      // In every order over the rounds: who comes first is decided by the shard.
      const order = clients.toSorted(() => (round % 2 === 0 ? 1 : -1));
      const codes = await Promise.all(
        order.map((each, who) => codeOf(who % 4 === round % 4 ? each.rmdir(`${dir}/d`) : each.mkdir(`${dir}/d/${who}`))),
      );
      const removals = codes.filter((_, who) => who % 4 === round % 4);
      const creations = codes.filter((_, who) => who % 4 !== round % 4);
      const isRemoved = removals.includes('done');
      seen.add(isRemoved ? 'removed' : 'kept');
      if (isRemoved) {
        expect(tally(creations)).toEqual({ 'not-found': creations.length });
        expect(tally(removals)).toEqual({ done: 1, 'not-found': removals.length - 1 });
        expect(await client.exists(`${dir}/d`)).toBe(false);
      } else {
        expect(tally(creations)).toEqual({ done: creations.length });
        expect(tally(removals)).toEqual({ 'not-empty': removals.length });
        expect(await names(`${dir}/d`)).toHaveLength(creations.length);
        await client.removeTree(`${dir}/d`);
      }
    }
    // Both happen: otherwise this shows nothing.
    expect([...seen].toSorted()).toEqual(['kept', 'removed']);
  });

  test('counts links and entries right, and its times move on, whatever 16 clients make and remove in it', async () => {
    const before = await client.stat(dir);
    await all(async (each, who) => {
      for (let i = 0; i < 20; i++) {
        await each.mkdir(`${dir}/d-${who}-${i}`);
        await each.put(`${dir}/f-${who}-${i}`, '');
        if (i % 2 === 0) await each.rmdir(`${dir}/d-${who}-${i}`);
        if (i % 4 === 0) await each.rename(`${dir}/f-${who}-${i}`, `${dir}/f-${who}-${i + 1}-moved`);
        if (i % 5 === 0) await each.remove(`${dir}/f-${who}-${i % 4 === 0 ? `${i + 1}-moved` : i}`);
      }
    });
    const after = await client.stat(dir);
    const found = await names(dir);
    const directories = found.filter((name) => name.startsWith('d-')).length;
    expect(directories).toBe(CLIENTS * 10);
    expect(after).toMatchObject({ nlink: 2 + directories, children: found.length });
    const later = (a: typeof before.mtime, b: typeof before.mtime): boolean => a.sec > b.sec || (a.sec === b.sec && a.nsec >= b.nsec);
    expect([later(after.mtime, before.mtime), later(after.ctime, before.ctime)]).toEqual([true, true]);
    expect(after.mtime).toEqual(after.ctime);
  });

  test('never comes to lie inside itself, however clients move directories into each other', async () => {
    const tree = ['a', 'a/b', 'a/b/c', 'x', 'x/y', 'x/y/z'];
    for (const path of tree) await client.mkdir(`${dir}/${path}`);
    expect(await codeOf(client.rename(`${dir}/a`, `${dir}/a/b`))).toBe('own-descendant');
    const places = ['a', 'b', 'c', 'x', 'y', 'z'];
    const codes = (
      await Promise.all(
        clients.map(async (each, who) => {
          const mine: string[] = [];
          for (let i = 0; i < 25; i++) {
            const inodes = new Map<string, InodeNumber>();
            for (const name of places) {
              const path = await findByName(each, name);
              if (path !== undefined) inodes.set(name, (await each.stat(path).catch(() => ({ ino: 0 as InodeNumber }))).ino);
            }
            const from = places[(who + i) % places.length] as string;
            const to = places[(who * 5 + i * 3 + 1) % places.length] as string;
            const [fromPath, toPath] = [await findByName(each, from), await findByName(each, to)];
            if (fromPath === undefined || toPath === undefined) continue;
            mine.push(await codeOf(each.rename(fromPath, `${toPath}/${from}`, { mode: who % 3 === 0 ? 'exchange' : 'replace' })));
          }
          return mine;
        }),
      )
    ).flat();
    expect(new Set(codes)).not.toContain('internal');
    expect(codes).toContain('done');
    expect(codes).toContain('own-descendant');
    // Every directory is still there, once, with a way to the root.
    const found: string[] = [];
    const walk = async (path: string, depth: number): Promise<void> => {
      expect(depth).toBeLessThan(10);
      for await (const { name } of client.list(path)) {
        found.push(name);
        await walk(`${path}/${name}`, depth + 1);
      }
    };
    await walk(dir, 0);
    expect(found.toSorted()).toEqual(places);

    async function findByName(each: NokvClient, name: string): Promise<string | undefined> {
      const queue = [dir];
      for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
        const page = await each.listPage(path, { attributes: false }).catch(() => undefined);
        for (const entry of page?.entries ?? []) {
          if (entry.name === name) return `${path}/${name}`;
          queue.push(`${path}/${entry.name}`);
        }
      }
      return undefined;
    }
  });
});

describe('a reader', () => {
  test('of a name that is replaced by renames sees one file or the other, whole, and never none', async () => {
    await client.put(`${dir}/current`, 'body 0');
    let isDone = false;
    let reads = 0;
    const readers = clients.slice(4).map(async (each) => {
      while (!isDone) {
        const body = await each.get(`${dir}/current`);
        expect(await body.text()).toMatch(/^body \d+$/);
        expect(body.attributes.nlink).toBe(1);
        reads += 1;
      }
    });
    const writers = clients.slice(0, 4).map(async (each, who) => {
      for (let i = 0; i < 50; i++) {
        await each.put(`${dir}/next-${who}`, `body ${who * 1000 + i}`);
        await each.rename(`${dir}/next-${who}`, `${dir}/current`);
      }
    });
    await Promise.all(writers);
    isDone = true;
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(100);
    expect(await names(dir)).toEqual(['current']);
  });

  test('of two names that are exchanged sees each under one of the two, never both or none', async () => {
    const a = await client.put(`${dir}/a`, 'A');
    const b = await client.put(`${dir}/b`, 'B');
    const inodes = [a.attributes.ino, b.attributes.ino].toSorted();
    let isDone = false;
    let reads = 0;
    const seen = new Set<string>();
    const readers = clients.slice(1).map(async (each) => {
      while (!isDone) {
        // One request is one state; its two answers belong together.
        const cards = await each.statMany([`${dir}/a`, `${dir}/b`]);
        const found = cards.map((card) => (card.ok ? card.value.ino : 0));
        expect(found.toSorted()).toEqual(inodes);
        seen.add(found.join());
        const { entries } = await each.listPage(dir);
        const listed = entries.map(({ ino }) => ino);
        expect(listed.toSorted()).toEqual(inodes);
        seen.add(listed.join());
        reads += 1;
      }
    });
    // One client alone: two exchanges in one flush would show nothing.
    for (let i = 0; i < 100; i++) await (clients[0] as NokvClient).rename(`${dir}/a`, `${dir}/b`, { mode: 'exchange' });
    isDone = true;
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(50);
    expect(seen.size).toBe(2);
  });

  test('finds an inode by number and by path with the same answer while others change it', async () => {
    const { attributes } = await client.put(`${dir}/f`, 'x');
    const { ino, generation } = attributes;
    await all(async (each, who) => {
      for (let i = 0; i < 10; i++) {
        if (who % 2 === 0) await each.chmod(`${dir}/f`, 0o600 + ((who + i) % 8));
        else {
          const times = { sec: 1_700_000_000 + i, nsec: 123_456_789 };
          await each.utimes(`${dir}/f`, times, times);
        }
        const byPath = await each.stat(`${dir}/f`);
        // Metadata changes keep the generation and the body.
        expect(byPath).toMatchObject({ ino, generation });
        expect(await (await each.get(`${dir}/f`)).text()).toBe('x');
      }
    });
    const byPath = await client.metadata.read('stat', { node: { path: Buffer.from(`${dir}/f`) } });
    expect(await client.metadata.read('stat', { node: { ino } })).toEqual(byPath);
    expect(byPath.mtime.nsec).toBe(123_456_789);
    // One revision for each change: none was lost.
    expect(byPath.revision).toBe(attributes.revision + CLIENTS * 10);
  });
});

describe('a listing', () => {
  test('in pages repeats and misses no name that stays, whatever comes and goes between the pages', async () => {
    const steady = Array.from({ length: 60 }, (_, i) => `s${String(i).padStart(3, '0')}`);
    const name = fc.stringMatching(/^[a-z][0-9a-z]{0,4}$/).filter((text) => !steady.includes(text));
    const change = fc.record({ add: fc.boolean(), name });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.array(change, { maxLength: 8 }), { maxLength: 20 }),
        async (limit, rounds) => {
          const path = `${dir}/l${++count}`;
          await client.mkdir(path);
          await client.createMany(steady.map((text) => `${path}/${text}`));
          const seen: string[] = [];
          let round = 0;
          for (let after: Uint8Array | undefined; ;) {
            const page = await client.listPage(path, { limit, ...(after === undefined ? {} : { after }) });
            seen.push(...page.entries.map((entry) => entry.name));
            after = page.entries.at(-1)?.nameBytes;
            if (!page.more || after === undefined) break;
            const changes = rounds[round++ % Math.max(1, rounds.length)] ?? [];
            await Promise.all(
              changes.map(({ add, name: text }, who) => {
                const each = clients[who % CLIENTS] as NokvClient;
                return codeOf(add ? each.put(`${path}/${text}`, '') : each.unlink(`${path}/${text}`));
              }),
            );
          }
          expect(seen.filter((text) => steady.includes(text))).toEqual(steady);
          expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
          await client.removeTree(path);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('by 4 clients while 12 others add and remove shows every name that stays, once and in order', async () => {
    const steady = Array.from({ length: 300 }, (_, i) => `s${String(i).padStart(4, '0')}`);
    await client.createMany(steady.map((name) => `${dir}/${name}`));
    let isDone = false;
    const listers = clients.slice(0, 4).map(async (each) => {
      for (let i = 0; i < 8; i++) {
        const seen: string[] = [];
        for await (const { name } of each.list(dir, { limit: 13 })) seen.push(name);
        expect(seen.filter((name) => name.startsWith('s') && name.length === 5)).toEqual(steady);
        expect(seen).toEqual([...new Set(seen)].toSorted());
      }
    });
    const changers = clients.slice(4).map(async (each, who) => {
      for (let i = 0; !isDone; i++) {
        const name = `${dir}/s${String((who * 37 + i * 11) % 300).padStart(4, '0')}-${who}`;
        await each.put(name, '');
        await each.unlink(name);
      }
    });
    await Promise.all(listers);
    isDone = true;
    await Promise.all(changers);
    expect(await names(dir)).toEqual(steady);
  });
});

describe('hard links', () => {
  test('made and removed by 16 clients at once count right, and the body stays until the last of them goes', async () => {
    const { attributes } = await client.put(`${dir}/f`, 'shared body');
    const { ino } = attributes;
    await all(async (each, who) => {
      for (let i = 0; i < 12; i++) {
        await each.link(`${dir}/f`, `${dir}/l-${who}-${i}`);
        if (i % 3 === 0) await each.unlink(`${dir}/l-${who}-${i}`);
      }
    });
    const kept = (await names(dir)).filter((name) => name !== 'f');
    expect(kept).toHaveLength(CLIENTS * 8);
    expect(await client.stat(`${dir}/f`)).toMatchObject({ ino, nlink: 1 + CLIENTS * 8 });
    await client.unlink(`${dir}/f`);
    expect(await (await client.get(`${dir}/${kept[0]}`)).text()).toBe('shared body');
    expect(kept.map((name) => `${dir}/${name}`)).toContain(await client.pathOf(ino));
    await Promise.all(kept.slice(1).map((name, at) => (clients[at % CLIENTS] as NokvClient).unlink(`${dir}/${name}`)));
    const last = await client.stat(`${dir}/${kept[0]}`);
    expect(last).toMatchObject({ ino, nlink: 1 });
    expect(await client.pathOf(ino)).toBe(`${dir}/${kept[0]}`);
    expect(await (await client.get(`${dir}/${kept[0]}`)).text()).toBe('shared body');
    await client.unlink(`${dir}/${kept[0]}`);
    expect(await codeOf(client.metadata.read('getattr', { ino }))).toBe('not-found');
  });
});

describe('a request id', () => {
  test('used twice at the same moment takes effect once and gives one result', async () => {
    for (let round = 0; round < 10; round++) {
      const id = requestId(`twice-${count}-${round}`);
      const before = (await client.stat(dir)).children;
      const outcomes = await Promise.all(clients.map((each) => each.put(`${dir}/f${round}`, 'same', { requestId: id })));
      expect(new Set(outcomes.map(({ generation }) => generation)).size).toBe(1);
      expect(outcomes.every(({ created }) => created)).toBe(true);
      expect((await client.stat(dir)).children).toBe(before + 1);
      expect((await client.stat(`${dir}/f${round}`)).ordinal).toBe(1);
    }
  });

  test('with other arguments is refused, also while the first is under way', async () => {
    const id = requestId(`other-${count}`);
    const codes = await all((each, who) => each.mkdir(`${dir}/d${who}`, { requestId: id }));
    expect(tally(codes)).toEqual({ done: 1, 'request-reused': CLIENTS - 1 });
    expect(await names(dir)).toEqual([`d${codes.indexOf('done')}`]);
    expect(await codeOf(client.rmdir(`${dir}/d${codes.indexOf('done')}`, { requestId: id }))).toBe('request-reused');
  });
});

describe('names and attributes', () => {
  test('are bytes: every byte but NUL and "/" goes there and back', async () => {
    const odd = Array.from({ length: 255 }, (_, i) => Uint8Array.of(0x78, i + 1)).filter((name) => name[1] !== 0x2f);
    await all(async (each, who) => {
      for (const [at, name] of odd.entries()) {
        if (at % CLIENTS === who) await each.put(Buffer.concat([Buffer.from(`${dir}/`), name]), Buffer.from(name));
      }
    });
    const { entries } = await client.listPage(dir);
    expect(entries.map(({ nameBytes }) => Buffer.from(nameBytes).toString('hex'))).toEqual(
      odd.map((name) => Buffer.from(name).toString('hex')),
    );
    // As text they carry escapes, which lead back to the same file.
    for (const { name, nameBytes } of entries.slice(200)) {
      expect(Buffer.from(await (await client.get(`${dir}/${name}`)).bytes())).toEqual(Buffer.from(nameBytes));
    }
  });

  test('of fifos, devices, sockets and symlinks come back as they were made, without an object', async () => {
    const owner = { uid: 0, gid: 0 };
    const stores = (): Promise<number> => readMetric(fixture.server.http, 'nokv_store_request_seconds_count');
    const before = await stores();
    const made = [
      ['fifo', 0],
      ['socket', 0],
      ['char', 0x0103],
      ['block', 0xfffff],
    ] as const;
    for (const [type, rdev] of made) {
      const entry = { path: Buffer.from(`${dir}/${type}`) };
      await client.metadata.mutate('create', { entry, type, mode: 0o640, rdev, exclusive: true, ...owner });
      expect(await client.stat(`${dir}/${type}`)).toMatchObject({ type, rdev, mode: 0o640, size: 0 });
    }
    await client.symlink(Uint8Array.of(0xff, 0x2f, 0x2e), `${dir}/s`);
    expect(await client.readlink(`${dir}/s`)).toEqual(Uint8Array.of(0xff, 0x2f, 0x2e));
    expect((await client.stat(`${dir}/s`, { follow: false })).size).toBe(3);
    expect((await stores()) - before).toBe(0);
  });

  test('that 16 clients set and remove at once are each kept or gone, within their limits', async () => {
    await client.put(`${dir}/f`, '');
    const value = Buffer.alloc(65_536, 'v');
    expect(await codeOf(client.setXattr(`${dir}/f`, 'user.big', Buffer.alloc(65_537)))).toBe('invalid-argument');
    expect(await codeOf(client.setXattr(`${dir}/f`, 'x'.repeat(256), 'v'))).toBe('invalid-argument');
    expect(await codeOf(client.removeXattr(`${dir}/f`, 'user.none'))).toBe('no-xattr');
    expect(tally(await all((each, who) => each.setXattr(`${dir}/f`, 'user.one', `${who}`, { mode: 'create' })))).toEqual({
      done: 1,
      exists: CLIENTS - 1,
    });
    await all(async (each, who) => {
      await each.setXattr(`${dir}/f`, `user.${who}`, value);
      if (who % 2 === 0) await each.removeXattr(`${dir}/f`, `user.${who}`);
    });
    const kept = Array.from({ length: CLIENTS }, (_, who) => who).filter((who) => who % 2 === 1);
    expect(await client.listXattrs(`${dir}/f`)).toEqual([...kept.map((who) => `user.${who}`), 'user.one'].toSorted());
    expect(Buffer.compare(await client.getXattr(`${dir}/f`, 'user.1'), value)).toBe(0);
  });
});

test('after all of this a check of the whole namespace finds nothing', async () => {
  const findings: unknown[] = [];
  let rows = 0;
  for await (const item of client.metadata.fsck({ repair: 'none', checksums: false })) {
    if (item.kind === 'finding') findings.push(item);
    if (item.kind === 'done') ({ rows } = item);
  }
  expect(findings).toEqual([]);
  expect(rows).toBeGreaterThan(100);
});
