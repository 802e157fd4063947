/**
 * Differences against the two trees themselves: after random edits, the rows turn the one listing into the other, and each row says
 * nothing that is not so. Between snapshots, the present and clones, both ways.
 */
import type { Difference, NokvClient } from '@nokv/client';
import { DIFF_KINDS } from '@nokv/types';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';
import { apply, edits, makeTree, treeAt, type Node, type Point, type Tree } from './tree-model.js';

let fixture: ClientFixture;
let runs = 0;
const seen = new Map<string, number>();
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'comparer' });
});
afterAll(async () => await fixture?.close());

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
      await makeTree(client, root);
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
