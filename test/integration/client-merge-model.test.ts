/**
 * Merges against a plain three-way merge by path: what only one side changed comes from that side, what both changed to the same stays,
 * anything else is a conflict and nothing is applied. Names are places: a rename is a removal here and an addition there.
 */
import type { NokvClient } from '@nokv/client';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';
import { apply, edit, makeTree, treeAt, type Node, type Tree } from './tree-model.js';

let fixture: ClientFixture;
let runs = 0;
const seen = { applied: 0, refused: 0, changes: 0 };
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'merger' });
});
afterAll(async () => await fixture?.close());

/** What a node is, apart from when it was written. */
function shown(node: Node | undefined): string {
  return node === undefined ? 'nothing' : JSON.stringify([node.type, node.body, { ...node.attributes, mtime: '' }]);
}

/** The merged tree by path, or the places where both sides changed. */
function threeWay(base: Tree, live: Tree, fork: Tree): { readonly merged: Map<string, string>; readonly conflicts: readonly string[] } {
  const merged = new Map<string, string>();
  const conflicts: string[] = [];
  for (const path of new Set([...base.keys(), ...live.keys(), ...fork.keys()])) {
    const [was, here, there] = [shown(base.get(path)), shown(live.get(path)), shown(fork.get(path))];
    // When a file was written is no change on either side.
    const result = there === was || there === here ? here : here === was ? there : undefined;
    if (result === undefined) conflicts.push(path);
    else if (result !== 'nothing') merged.set(path, result);
  }
  // Something has to be in a directory: one side removed it (or made a file of it), the other put something there.
  for (const path of merged.keys()) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      if (merged.get(path.slice(0, slash))?.startsWith('["directory"') !== true) conflicts.push(path);
    }
  }
  return { merged, conflicts };
}

async function check(client: NokvClient, root: string, fork: string, base: Tree): Promise<void> {
  const live = await treeAt(client, root, undefined);
  // The fork is not looked at before: what was never touched in it is not there by itself, and is merged all the same.
  const plan = await client.merge(fork, { dryRun: true });
  expect(await treeAt(client, root, undefined)).toEqual(live);
  const done = await client.merge(fork);
  const after = await treeAt(client, root, undefined);
  const own = await treeAt(client, fork, undefined);
  const { merged, conflicts } = threeWay(base, live, own);
  const told = JSON.stringify({ model: conflicts, engine: done.conflicts.map(({ path, fork: kind, live: other }) => [path, kind, other]) });
  expect([plan.conflictCount, plan.changes], told).toEqual([done.conflictCount, done.changes]);
  expect(done.applied, told).toBe(conflicts.length === 0);
  expect(done.conflictCount > 0, told).toBe(conflicts.length > 0);
  if (done.applied) {
    seen.applied += 1;
    seen.changes += done.changes;
    expect(Object.fromEntries([...after].map(([path, node]) => [path, shown(node)])), told).toEqual(Object.fromEntries(merged));
  } else {
    seen.refused += 1;
    expect(after, told).toEqual(live);
  }
}

const few: fc.Arbitrary<[string, string, string][]> = fc.array(edit, { minLength: 1, maxLength: 6, size: 'max' });

/** A directory that the fork moved as a whole, and something that happened to it or in it meanwhile, at any depth. */
const EXAMPLES: [[string, string, string][], [string, string, string][]][] = [
  [[['put', 'a/a/a', 'two']], [['rename', 'a', 'b/a/b']]],
  [[['put', 'a/a/b', 'two']], [['rename', 'a/a', 'b/a/b']]],
  [[['put', 'b/a/a/x', 'new']], [['rename', 'b', 'a/a/c']]],
  [[['chmod', 'b/a/a', '640']], [['rename', 'b', 'a/a/c']]],
  [[['remove', 'b/a/a', '']], [['rename', 'b', 'a/a/c']]],
  [
    [['put', 'c', 'two']],
    [
      ['rename', 'b', 'a/a/c'],
      ['put', 'a/a/c/a/c', 'one'],
      ['chmod', 'a/a/c/a/a', '640'],
    ],
  ],
  [
    [['put', 'b/a/c', 'two']],
    [
      ['rename', 'b', 'a/a/c'],
      ['chmod', 'a/a/c/a', '640'],
    ],
  ],
];

test('a merge comes to what a plain three-way merge by path comes to', async () => {
  const { client } = fixture;
  await fc.assert(
    fc.asyncProperty(few, few, async (ofBase, ofFork) => {
      const root = `/merged-${(runs += 1)}`;
      const fork = `${root}-fork`;
      await makeTree(client, root);
      await client.clone(root, fork);
      const base = await treeAt(client, root, undefined);
      for (const each of ofBase) await apply(client, root, each);
      for (const each of ofFork) await apply(client, fork, each);
      await check(client, root, fork, base);
      await client.removeTree(root);
      await client.removeTree(fork);
    }),
    { numRuns: 70, examples: EXAMPLES },
  );
  expect(seen.applied).toBeGreaterThan(20);
  expect(seen.refused).toBeGreaterThan(10);
}, 240_000);
