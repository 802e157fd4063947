/**
 * Differences against the two trees themselves: after random edits, the rows turn the one listing into the other, and each row says
 * nothing that is not so. Between snapshots, the present and clones, both ways.
 */
import type { AtLike, Difference, NokvClient } from '@nokv/client';
import { DIFF_KINDS, isNokvError } from '@nokv/types';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

let fixture: ClientFixture;
let runs = 0;
const seen = new Map<string, number>();
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'comparer' });
});
afterAll(async () => await fixture?.close());

interface Node {
  readonly type: string;
  readonly body: string;
  /** What rows call attributes, as text each. */
  readonly attributes: Readonly<Record<string, string>>;
}
type Tree = ReadonlyMap<string, Node>;
interface Point {
  readonly path: string;
  readonly at?: AtLike;
}

/** Few names, so that edits meet. */
const NAMES = ['a', 'b', 'c'];
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const edit = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant('put' as const), path, fc.constantFrom('', 'one', 'two', 'x'.repeat(20_000))) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('mkdir' as const), path, fc.constant('')) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('rename' as const), path, path) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('remove' as const), path, fc.constant('')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('exchange' as const), path, path) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('link' as const), path, path) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('symlink' as const), path, fc.constantFrom('t', 'u')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('chmod' as const), path, fc.constantFrom('600', '755', '640')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('chown' as const), path, fc.constantFrom('1', '2')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('touch' as const), path, fc.constantFrom('1000', '2000')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('xattr' as const), path, fc.constantFrom('v', 'w')) },
);
const edits = fc.array(edit, { minLength: 10, maxLength: 30, size: 'max' });
/** There from the beginning, so that most edits meet something. */
const DIRECTORIES = ['a', 'a/a', 'a/b', 'b', 'b/a', 'b/a/a'];
const FILES = ['c', 'a/c', 'a/a/a', 'a/a/b', 'a/b/c', 'b/c', 'b/a/c', 'b/b'];

/** Refusals of the namespace are part of the game; anything else fails the test. */
async function apply(client: NokvClient, root: string, [what, at, value]: [string, string, string]): Promise<void> {
  const place = `${root}/${at}`;
  const acts: Record<string, () => Promise<unknown>> = {
    put: () => client.put(place, value),
    mkdir: () => client.mkdir(place),
    rename: () => client.rename(place, `${root}/${value}`),
    exchange: () => client.rename(place, `${root}/${value}`, { mode: 'exchange' }),
    remove: () => client.removeTree(place),
    link: () => client.link(place, `${root}/${value}`),
    symlink: () => client.symlink(value, place),
    chmod: () => client.setattr(place, { mode: Number.parseInt(value, 8) }, { follow: false }),
    chown: () => client.chown(place, Number(value), 0, { follow: false }),
    touch: () => client.utimes(place, 'now', { sec: Number(value), nsec: 0 }, { follow: false }),
    xattr: () => client.setXattr(place, 'user.k', value),
  };
  try {
    await acts[what]?.();
  } catch (error) {
    if (!isNokvError(error) || ['internal', 'corrupt', 'unavailable'].includes(error.kind)) throw error;
  }
}

async function treeAt(client: NokvClient, root: string, at: AtLike | undefined): Promise<Tree> {
  const tree = new Map<string, Node>();
  const visit = async (place: string, below: string): Promise<void> => {
    const card = await client.stat(place, { at, follow: false });
    const isDirectory = card.type === 'directory';
    const xattrs: string[] = [];
    for (const name of card.xattrs) {
      xattrs.push(
        Buffer.from(name).toString(),
        card.type === 'symlink' ? '' : Buffer.from(await client.getXattr(place, name, { at })).toString(),
      );
    }
    tree.set(below, {
      type: card.type,
      body: card.type === 'file' ? `${card.size} ${card.digest ?? ''}` : '',
      attributes: {
        mode: `${card.mode}`,
        owner: `${card.uid}:${card.gid}`,
        mtime: isDirectory ? '' : `${card.mtime.sec}.${card.mtime.nsec}`,
        xattrs: xattrs.join(' '),
        target: card.target === undefined ? '' : Buffer.from(card.target).toString(),
        device: `${card.rdev}`,
      },
    });
    if (!isDirectory) return;
    for await (const { name } of client.list(place, { at })) await visit(`${place}/${name}`, below === '' ? name : `${below}/${name}`);
  };
  await visit(root, '');
  return tree;
}

/** What the first tree becomes by the rows; where a row says how a node is now, it is taken from the second. */
function applied(a: Tree, b: Tree, rows: readonly Difference[]): Map<string, Node | undefined> {
  const removed = new Set(rows.filter(({ kind }) => kind === 'removed').map((row) => row.path));
  const renamed = rows.filter(({ kind }) => kind === 'renamed');
  const result = new Map<string, Node | undefined>();
  for (const [place, node] of a) {
    if (removed.has(place)) continue;
    const above = renamed
      .filter(({ fromPath = '' }) => place === fromPath || place.startsWith(`${fromPath}/`))
      .toSorted((x, y) => (y.fromPath ?? '').length - (x.fromPath ?? '').length)[0];
    result.set(above === undefined ? place : above.path + place.slice((above.fromPath ?? '').length), node);
  }
  for (const row of rows) if (row.kind !== 'removed') result.set(row.path, b.get(row.path));
  return result;
}

function checkRow(row: Difference, a: Tree, b: Tree): void {
  const [before, after] = [a.get(row.fromPath ?? row.path), b.get(row.path)];
  if (row.kind === 'added') expect({ row, after }).toMatchObject({ row: { b: { type: after?.type } } });
  else if (row.kind === 'removed') expect({ row, before }).toMatchObject({ row: { a: { type: before?.type } } });
  else {
    expect(before, `${row.kind} ${row.fromPath ?? ''} ${row.path}`).toBeDefined();
    expect(after, `${row.kind} ${row.path}`).toBeDefined();
    if (before === undefined || after === undefined) return;
    const others = Object.keys(before.attributes).filter((name) => before.attributes[name] !== after.attributes[name]);
    const isOther = before.type !== after.type || before.body !== after.body;
    expect(row.kind === 'renamed' || isOther === (row.kind === 'modified'), `${row.kind} ${row.path}`).toBe(true);
    if (before.type === after.type) expect([row.path, ...row.attributes.toSorted()]).toEqual([row.path, ...others.toSorted()]);
    if (row.kind === 'attributes') expect(row.attributes.length).toBeGreaterThan(0);
  }
}

async function check(client: NokvClient, a: Point, b: Point): Promise<void> {
  const rows: Difference[] = [];
  for await (const row of client.diff(a, b)) rows.push(row);
  const [before, after] = [await treeAt(client, a.path, a.at), await treeAt(client, b.path, b.at)];
  const told = JSON.stringify(rows.map(({ kind, path: to, fromPath }) => [kind, fromPath, to]));
  expect(new Set(rows.map((row) => row.path + (row.kind === 'removed' ? ' -' : ''))).size, told).toBe(rows.length);
  for (const row of rows) checkRow(row, before, after);
  for (const { kind } of rows) seen.set(kind, (seen.get(kind) ?? 0) + 1);
  const made = applied(before, after, rows);
  expect([...made.keys()].toSorted(), told).toEqual([...after.keys()].toSorted());
  for (const [place, node] of after) expect([place, made.get(place)], told).toEqual([place, node]);
}

test('rows turn the one tree into the other, whatever was done between', async () => {
  const { client } = fixture;
  await fc.assert(
    fc.asyncProperty(edits, edits, edits, async (first, second, third) => {
      const root = `/model-${(runs += 1)}`;
      const fork = `${root}-fork`;
      await client.mkdir(root);
      for (const each of DIRECTORIES) await client.mkdir(`${root}/${each}`);
      for (const each of FILES) await client.put(`${root}/${each}`, each);
      for (const each of first) await apply(client, root, each);
      const one = (await client.snapshots.create(root)).pin.id;
      await client.clone(root, fork);
      for (const each of second) await apply(client, root, each);
      const two = (await client.snapshots.create(root)).pin.id;
      for (const each of third) await apply(client, fork, each);
      const then = { path: root, at: { snapshot: one } };
      const later = { path: root, at: { snapshot: two } };
      const now = { path: root };
      const other = { path: fork };
      for (const [x, y] of [
        [then, later],
        [later, then],
        [then, now],
        [then, other],
        [other, now],
        [now, other],
      ] as const) {
        await check(client, x, y);
      }
      await client.snapshots.retire(one);
      await client.snapshots.retire(two);
      await client.removeTree(root);
      await client.removeTree(fork);
    }),
    { numRuns: 30 },
  );
  for (const kind of DIFF_KINDS) expect([kind, (seen.get(kind) ?? 0) > 50]).toEqual([kind, true]);
}, 240_000);
