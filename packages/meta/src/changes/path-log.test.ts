import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  WHOLE_VERSION,
  formatName,
  isNokvError,
  parsePath,
  version,
  wholeVersion,
  type ChangeCursor,
  type ChangeFilter,
  type ChangeRoot,
  type MutationOperation,
  type MutationOperations,
  type PathChange,
} from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import { OWNER, TestShard, at, inline } from '../testing/test-shard.js';

const START = wholeVersion(version(0));
const owned = { mode: 0o755, ...OWNER };

interface Shown {
  readonly at: string;
  readonly kind: string;
  readonly path: string | undefined;
  readonly fromPath: string | undefined;
}

function shown({ version, ordinal, kind, path, fromPath }: PathChange): Shown {
  const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : formatName(bytes));
  return { at: `${version}.${ordinal}`, kind, path: text(path), fromPath: text(fromPath) };
}

function line({ kind, path, fromPath }: Shown): string {
  return [kind, fromPath, path].filter((part) => part !== undefined).join(' ');
}

/** Everything since a cursor, a few rows at a time. */
function readAll(shard: TestShard, since: ChangeCursor, rows = 3, directoriesMax = 100): Shown[] {
  const log = shard.engine.pathLog(since, directoriesMax);
  const found: Shown[] = [];
  for (;;) {
    const page = log.read(rows);
    found.push(...page.changes.map(({ whole }) => shown(whole)));
    if (page.isCurrent) return found;
  }
}

async function below(shard: TestShard, root: ChangeRoot, more: { filter?: ChangeFilter; limit?: number; descending?: boolean } = {}) {
  const { limit = 1024, ...rest } = more;
  const found: Shown[] = [];
  for (let from: ChangeCursor | undefined; ;) {
    const page = await shard.read('path-changes', { root, limit, ...rest, ...(from === undefined ? {} : { from }) });
    found.push(...page.changes.map(shown));
    if (!page.more) return found;
    from = page.next;
  }
}

describe('paths of changes', () => {
  test('are those at the event, though parents were renamed and removed since', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a/b/c', true);
    await shard.put('/a/b/c/f', 'one');
    await shard.do('rename', { from: at('/a'), to: at('/z'), mode: 'replace' });
    await shard.put('/z/b/c/f', 'two');
    await shard.do('rename', { from: at('/z/b'), to: at('/b2'), mode: 'replace' });
    await shard.do('remove-tree', { entry: at('/b2') });
    await shard.maintain();
    expect(readAll(shard, START).map(line)).toEqual([
      'created /a',
      'created /a/b',
      'created /a/b/c',
      'created /a/b/c/f',
      'published /a/b/c/f',
      'renamed /a /z',
      'published /z/b/c/f',
      'renamed /z/b /b2',
      'removed /b2',
    ]);
  });

  test('within one version are those between its changes: a directory and what it replaces', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a');
    await shard.mkdir('/b');
    await shard.put('/a/f', 'x');
    const before = shard.engine.durableVersion;
    await shard.do('rename', { from: at('/a'), to: at('/b'), mode: 'replace' });
    await shard.do('rename', { from: at('/b/f'), to: at('/b/g'), mode: 'replace' });
    expect(readAll(shard, wholeVersion(before)).map(line)).toEqual(['removed /b', 'renamed /a /b', 'renamed /b/f /b/g']);
  });

  test('within a transaction are those after each of its operations, whatever is kept of directories', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a');
    const before = wholeVersion(shard.engine.durableVersion);
    const move = (from: string, to: string) => ({ operation: 'rename', args: { from: at(from), to: at(to), mode: 'replace' } }) as const;
    const make = (path: string) => ({ operation: 'mkdir', args: { entry: at(path), ...owned } }) as const;
    await shard.do('transact', {
      operations: [make('/a/x'), move('/a', '/b'), make('/b/y'), move('/b/y', '/b/x/z'), move('/b', '/c'), make('/c/x/z/end')],
    });
    const told = ['created /a/x', 'renamed /a /b', 'created /b/y', 'renamed /b/y /b/x/z', 'renamed /b /c', 'created /c/x/z/end'];
    for (const directoriesMax of [1, 2, 100]) expect(readAll(shard, before, 10, directoriesMax).map(line)).toEqual(told);
    const page = await shard.read('path-changes', { root: at('/'), descending: true, limit: 6 });
    expect(page.changes.map((change) => line(shown(change))).toReversed()).toEqual(told);
  });

  test('of a file with several names are those below the root that is asked about', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a');
    await shard.mkdir('/b');
    const ino = await shard.create('/a/f');
    await shard.do('link', { node: { ino }, entry: at('/b/g') });
    const before = wholeVersion(shard.engine.durableVersion);
    await shard.do('setattr', { node: { ino }, mode: 0o600 });
    // One name goes later: the change still concerned it.
    await shard.do('unlink', { entry: at('/b/g') });
    for (const [root, path] of [
      ['/a', '/a/f'],
      ['/b', '/b/g'],
    ] as const) {
      const page = await shard.read('path-changes', { root: at(root), limit: 10, from: before, filter: { kinds: ['attributes'] } });
      expect(page.changes.map((change) => line(shown(change)))).toEqual([`attributes ${path}`]);
    }
  });

  test('of what lies in the trash or in a staged tree are none, and nobody sees it', async () => {
    const shard = await TestShard.open();
    const { result } = await shard.do('begin-tree', { ttlMs: 60_000, ...owned });
    await shard.do('publish', { node: { parent: result.root, name: Buffer.from('f') }, body: inline('x'), mode: 0o644, ...OWNER });
    expect(await below(shard, at('/'))).toEqual([]);
    await shard.do('publish-tree', { root: result.root, to: at('/t'), replace: false, ...OWNER });
    await shard.put('/t/f', 'y');
    expect((await below(shard, at('/t'))).map(line)).toEqual(['created /t', 'published /t/f']);
  });

  test('in forks and after a rollback are those that readers see', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/base/deep/down', true);
    await shard.put('/base/deep/down/f', 'one');
    const { result: taken } = await shard.do('snapshot-create', { node: at('/base'), ttlMs: 60_000 });
    const before = wholeVersion(shard.engine.durableVersion);
    await shard.do('clone', { from: at('/base'), to: at('/fork'), ...OWNER });
    await shard.put('/fork/deep/down/f', 'two');
    await shard.put('/base/deep/down/f', 'three');
    await shard.do('rename', { from: at('/base/deep/down'), to: at('/base/up'), mode: 'replace' });
    await shard.do('rollback', { node: at('/base'), at: { snapshot: taken.pin.id }, undoTtlMs: 60_000 });
    await shard.put('/base/deep/down/f', 'four');
    await shard.do('rename', { from: at('/base'), to: at('/moved'), mode: 'replace' });
    await shard.put('/moved/deep/down/f', 'five');
    const told = [
      'cloned /fork',
      'published /fork/deep/down/f',
      'published /base/deep/down/f',
      'renamed /base/deep/down /base/up',
      'rolled-back /base',
      'published /base/deep/down/f',
      'renamed /base /moved',
      'published /moved/deep/down/f',
    ];
    expect(readAll(shard, before).map(line)).toEqual(told);
    expect(readAll(shard, before, 1, 1).map(line)).toEqual(told);
    const page = await shard.read('path-changes', { root: at('/'), from: before, limit: 100 });
    expect(page.changes.map((change) => line(shown(change)))).toEqual(told);
    await shard.maintain();
    expect(readAll(shard, before).map(line)).toEqual(told);
  });
});

describe('a root', () => {
  async function scene(): Promise<TestShard> {
    const shard = await TestShard.open();
    await shard.mkdir('/in/sub', true);
    await shard.mkdir('/out');
    await shard.put('/out/f', '1');
    await shard.do('rename', { from: at('/out/f'), to: at('/in/f'), mode: 'replace' });
    await shard.do('rename', { from: at('/in/f'), to: at('/in/sub/f'), mode: 'replace' });
    await shard.do('rename', { from: at('/in/sub'), to: at('/out/sub'), mode: 'replace' });
    await shard.put('/out/sub/f', '2');
    await shard.do('rename', { from: at('/in'), to: at('/moved'), mode: 'replace' });
    await shard.put('/moved/late', '3');
    return shard;
  }

  test('by path sees what is at that path: what comes in has no old place, what leaves has no new one', async () => {
    expect((await below(await scene(), at('/in'))).map(line)).toEqual([
      'created /in',
      'created /in/sub',
      'renamed /in/f',
      'renamed /in/f /in/sub/f',
      'renamed /in/sub',
      'renamed /in',
    ]);
    const leaving = (await below(await scene(), at('/in'))).slice(-2);
    expect(leaving.map(({ path, fromPath }) => [fromPath, path])).toEqual([
      ['/in/sub', undefined],
      ['/in', undefined],
    ]);
  });

  test('by inode is followed wherever it goes', async () => {
    const shard = await scene();
    const { ino } = await shard.stat('/moved');
    expect((await below(shard, { ino })).map(line)).toEqual([
      'created /in',
      'created /in/sub',
      'renamed /in/f',
      'renamed /in/f /in/sub/f',
      'renamed /in/sub',
      'renamed /in /moved',
      'created /moved/late',
      'published /moved/late',
    ]);
  });

  test('hears that a directory above it was moved, removed or brought', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/top/mid/root', true);
    const start = shard.engine.durableVersion;
    await shard.do('rename', { from: at('/top'), to: at('/away'), mode: 'replace' });
    await shard.do('rename', { from: at('/away'), to: at('/top'), mode: 'replace' });
    await shard.do('setattr', { node: at('/top'), mode: 0o700 });
    await shard.do('remove-tree', { entry: at('/top/mid') });
    const page = await shard.read('path-changes', { root: at('/top/mid/root'), limit: 10, from: wholeVersion(start) });
    expect(page.changes.map(shown).map(({ kind, fromPath, path }) => [kind, fromPath, path])).toEqual([
      ['renamed', '/top', undefined],
      ['renamed', undefined, '/top'],
      ['removed', undefined, '/top/mid'],
    ]);
  });

  test('is not a prefix of names: /in is not /inside', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/in');
    await shard.mkdir('/inside');
    expect((await below(shard, at('/in'))).map(line)).toEqual(['created /in']);
  });
});

describe('a filter', () => {
  test('leaves out kinds, actors, mounts and clients', async () => {
    const shard = await TestShard.open(new MemoryKv(), { prefix: 'own' });
    const mark = 'abcdefabcdef';
    await shard.mkdir('/d');
    await shard.as(`0123456789ab${mark}00000001`, 'mkdir', { entry: at('/d/marked'), ...owned });
    await shard.as('mount-7-1', 'mkdir', { entry: at('/d/mounted'), ...owned });
    await shard.put('/d/f', 'x');
    const lines = async (filter: ChangeFilter) => (await below(shard, at('/d'), { filter })).map(line);
    const all = ['created /d', 'created /d/marked', 'created /d/mounted', 'created /d/f', 'published /d/f'];
    expect(await lines({})).toEqual(all);
    expect(await lines({ kinds: ['published'] })).toEqual(['published /d/f']);
    expect(await lines({ exceptClient: mark })).toEqual(all.filter((each) => !each.endsWith('marked')));
    expect(await lines({ exceptRequestPrefix: 'mount-7' })).toEqual(all.filter((each) => !each.endsWith('mounted')));
    expect(await lines({ actors: ['tester'] })).toEqual(all);
    expect(await lines({ actors: ['test*'] })).toEqual(all);
    expect(await lines({ exceptActors: ['tester'] })).toEqual([]);
    expect(await lines({ exceptActors: ['te*'] })).toEqual([]);
    expect(await lines({ exceptActors: ['te'] })).toEqual(all);
  });
});

describe('a cursor', () => {
  test('between the changes of one version goes on with the rest of them', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a/b/c/d', true);
    const all = readAll(shard, START);
    expect(all).toHaveLength(4);
    const { durableVersion } = shard.engine;
    for (let ordinal = 0; ordinal < 4; ordinal++) {
      expect(readAll(shard, { version: durableVersion, ordinal })).toEqual(all.slice(ordinal + 1));
    }
  });

  test('before the window is refused with the one to go on from ', async () => {
    const shard = await TestShard.open(new MemoryKv(), { window: { requestVersionsMax: 1, changeVersionsMax: 1 } });
    for (let i = 0; i < 5; i++) await shard.mkdir(`/d${i}`);
    await shard.maintain();
    const next = shard.engine.durableVersion;
    const refusal = refusalOf(() => shard.engine.pathLog(START, 10));
    expect(refusal).toMatchObject({ code: 'cursor-too-old', details: { next } });
    expect(readAll(shard, wholeVersion(next))).toEqual([]);
    await shard.mkdir('/after');
    expect(readAll(shard, wholeVersion(next)).map(line)).toEqual(['created /after']);
  });

  test('ahead of the log is refused: it is not of this log', async () => {
    const shard = await TestShard.open();
    expect(refusalOf(() => shard.engine.pathLog(wholeVersion(version(1_000)), 10))).toMatchObject({ code: 'invalid-argument' });
  });
});

describe('pages', () => {
  test('newest first hold the same as oldest first, whatever their size', async () => {
    const shard = await TestShard.open();
    await shard.mkdir('/a/b', true);
    for (let i = 0; i < 7; i++) await shard.put(`/a/b/f${i}`, 'x');
    await shard.do('rename', { from: at('/a/b'), to: at('/c'), mode: 'replace' });
    const forwards = await below(shard, at('/a'), { limit: 2 });
    for (const limit of [1, 3, 100]) {
      expect((await below(shard, at('/a'), { limit, descending: true })).toReversed()).toEqual(forwards);
    }
  });

  test('end though nothing is found, and look at a bounded number of rows', async () => {
    const shard = await TestShard.open();
    for (let i = 0; i < 5000; i++) void shard.do('mkdir', { entry: at(`/d${i}`), ...owned }, 'visible');
    await shard.mkdir('/last');
    const first = await shard.read('path-changes', { root: at('/last'), limit: 1 });
    expect(first).toMatchObject({ changes: [], more: true });
    expect((await below(shard, at('/last'))).map(line)).toEqual(['created /last']);
    expect((await below(shard, at('/last'), { descending: true })).map(line)).toEqual(['created /last']);
  });
});

interface Step {
  readonly operation: MutationOperation;
  readonly args: (inodes: ReadonlyMap<string, number>) => MutationOperations[MutationOperation]['args'];
}

const name = fc.constantFrom('a', 'b', 'c');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: path.map((p): Step => ({ operation: 'mkdir', args: () => ({ entry: at(p), parents: true, ...owned }) })) },
  {
    weight: 3,
    arbitrary: path.map((p): Step => ({ operation: 'publish', args: () => ({ node: at(p), body: inline('x'), ...OWNER, mode: 0o644 }) })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({ from: path, to: path, mode: fc.constantFrom('replace' as const, 'no-replace' as const, 'exchange' as const) })
      .map((s): Step => ({ operation: 'rename', args: () => ({ from: at(s.from), to: at(s.to), mode: s.mode }) })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ from: path, to: path })
      .map((s): Step => ({ operation: 'link', args: () => ({ node: at(s.from), entry: at(s.to) }) })),
  },
  { weight: 1, arbitrary: path.map((p): Step => ({ operation: 'remove-tree', args: () => ({ entry: at(p) }) })) },
  { weight: 1, arbitrary: path.map((p): Step => ({ operation: 'unlink', args: () => ({ entry: at(p) }) })) },
  {
    weight: 2,
    arbitrary: fc.nat().map((n): Step => ({
      operation: 'setattr',
      args: (inodes) => ({ node: { ino: ([...inodes.values()][n % Math.max(1, inodes.size)] ?? 1) as never }, mode: 0o700 }),
    })),
  },
);

/** Where everything is, by a walk of the namespace as it is now. */
async function walk(shard: TestShard): Promise<Map<string, number>> {
  const found = new Map<string, number>([['/', 1]]);
  const pending = ['/'];
  for (let where = pending.pop(); where !== undefined; where = pending.pop()) {
    const { entries } = await shard.read('list', { node: at(where), limit: 100, attributes: false });
    for (const entry of entries) {
      const child = `${where === '/' ? '' : where}/${formatName(entry.name)}`;
      found.set(child, entry.ino);
      if (entry.type === 'directory') pending.push(child);
    }
  }
  return found;
}

function pathIn(tree: ReadonlyMap<string, number>, ino: number | undefined): string | undefined {
  for (const [path, each] of tree) if (each === ino) return path;
  return undefined;
}

test('paths equal those that a walk saw at the time of each event, read live, afterwards, in pieces and backwards', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      fc.constantFrom('/a', '/b', '/a/b', '/c/a/b'),
      async (steps, root) => {
        const shard = await TestShard.open();
        const live = shard.engine.pathLog(START, 100);
        const seenLive: Shown[] = [];
        const recorded: (Shown & { readonly type: string; readonly names: readonly string[] })[] = [];
        let before = await walk(shard);
        for (const { operation, args } of steps) {
          const since = shard.engine.durableVersion;
          try {
            await shard.do(operation, args(before));
          } catch (error) {
            if (!isNokvError(error)) throw error;
            continue;
          }
          const after = await walk(shard);
          const entry = (tree: ReadonlyMap<string, number>, parent: number | undefined, entryName: Uint8Array | undefined) => {
            const directory = pathIn(tree, parent);
            if (directory === undefined || entryName === undefined) return undefined;
            return `${directory === '/' ? '' : directory}/${formatName(entryName)}`;
          };
          const { changes } = await shard.read('changes', { since, limit: 1000 });
          for (const change of changes) {
            const { kind, type, parent, fromParent, ino } = change;
            const names = parent !== undefined ? [] : [...after].filter(([, each]) => each === ino).map(([each]) => each);
            recorded.push({
              at: `${change.version}.${change.ordinal}`,
              kind,
              path: parent === undefined ? undefined : entry(kind === 'removed' ? before : after, parent, change.name),
              fromPath: entry(before, fromParent, change.fromName),
              type,
              names,
            });
          }
          before = after;
          if (recorded.length % 3 === 0) seenLive.push(...live.read(1000).changes.map(({ whole }) => shown(whole)));
          if (recorded.length % 5 === 0) await shard.engine.maintain(() => Promise.resolve());
        }
        seenLive.push(...live.read(1000).changes.map(({ whole }) => shown(whole)));

        const agree = (found: readonly Shown[], from: number) => {
          expect(found.map(({ at: each }) => each)).toEqual(recorded.slice(from).map(({ at: each }) => each));
          found.forEach((each, i) => {
            const { names, type: _, ...wanted } = recorded[from + i] as (typeof recorded)[number];
            if (names.length === 0) expect(each).toEqual(wanted);
            else expect(names).toContain(each.path);
          });
        };
        agree(seenLive, 0);
        agree(readAll(shard, START, 1, 2), 0);
        agree((await below(shard, at('/'), { descending: true, limit: 4 })).toReversed(), 0);
        const middle = Math.floor(recorded.length / 2);
        const cut = recorded[middle - 1];
        if (cut !== undefined) {
          const [cutVersion, ordinal] = cut.at.split('.').map(Number);
          agree(readAll(shard, { version: version(cutVersion ?? 0), ordinal: ordinal ?? WHOLE_VERSION }, 2, 3), middle);
        }

        const isBelow = (each: string | undefined) => each !== undefined && (each === root || each.startsWith(`${root}/`));
        const isAbove = (each: string | undefined) => each !== undefined && root.startsWith(`${each}/`);
        const wanted = recorded.flatMap(({ at: position, kind, type, path: place, fromPath, names }) => {
          const inside = [place, ...names].find(isBelow);
          if (inside !== undefined || isBelow(fromPath)) {
            return [{ at: position, kind, path: inside, fromPath: isBelow(fromPath) ? fromPath : undefined, names: names.filter(isBelow) }];
          }
          if (type !== 'directory' || !['created', 'removed', 'renamed'].includes(kind) || !(isAbove(place) || isAbove(fromPath)))
            return [];
          return [
            { at: position, kind, path: isAbove(place) ? place : undefined, fromPath: isAbove(fromPath) ? fromPath : undefined, names },
          ];
        });
        const seen = await below(shard, at(root));
        expect(seen.map(({ at: position, kind }) => `${position} ${kind}`)).toEqual(
          wanted.map(({ at: position, kind }) => `${position} ${kind}`),
        );
        seen.forEach((each, i) => {
          const { names, ...whole } = wanted[i] as (typeof wanted)[number];
          if (names.length === 0) expect(each).toEqual(whole);
          else expect(names).toContain(each.path);
        });
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

function refusalOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('paths that people write reach the scope in normal form', async () => {
  const shard = await TestShard.open();
  await shard.mkdir('/a');
  expect((await below(shard, { path: Buffer.from('//a/./') })).map(line)).toEqual(['created /a']);
  expect(formatName(parsePath('//a/./'))).toBe('/a');
});
