/**
 * Rollbacks and clones against what was seen: after random edits a directory is put back as it was, and back again; clones of snapshots
 * show what the snapshots show and go their own ways; snapshots show the same for ever.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';
import { apply, edit, makeTree, treeAt, type Tree } from './tree-model.js';

let fixture: ClientFixture;
let runs = 0;
beforeAll(async () => {
  fixture = await startClientFixture({ actor: 'returner' });
});
afterAll(async () => await fixture?.close());

const some = fc.array(edit, { minLength: 3, maxLength: 15, size: 'max' });

test('a rollback brings back what was, its undo what had become of it, and clones keep what they have', async () => {
  const { client } = fixture;
  await fc.assert(
    fc.asyncProperty(some, some, some, async (first, second, third) => {
      const root = `/back-${(runs += 1)}`;
      const fork = `${root}-fork`;
      const seen: { readonly snapshot: number; readonly tree: Tree }[] = [];
      const look = async (snapshot: number, tree: Tree): Promise<void> => {
        seen.push({ snapshot, tree });
        for (const each of seen) expect(await treeAt(client, root, { snapshot: each.snapshot })).toEqual(each.tree);
      };
      await makeTree(client, root);
      for (const each of first) await apply(client, root, each);
      const before = await treeAt(client, root, undefined);
      const at = { snapshot: (await client.snapshots.create(root)).pin.id as number };
      for (const each of second) await apply(client, root, each);
      const after = await treeAt(client, root, undefined);

      const { undo } = await client.rollback(root, at);
      expect(await treeAt(client, root, undefined)).toEqual(before);
      await look(at.snapshot, before);
      await look(undo.id, after);

      await client.clone(root, fork, { at: { snapshot: undo.id } });
      expect(await treeAt(client, fork, undefined)).toEqual(after);
      for (const each of third) await apply(client, fork, each);
      const own = await treeAt(client, fork, undefined);
      expect(await treeAt(client, root, undefined)).toEqual(before);

      const again = await client.rollback(root, { snapshot: undo.id });
      expect(await treeAt(client, root, undefined)).toEqual(after);
      expect(await treeAt(client, fork, undefined)).toEqual(own);
      await look(again.undo.id, before);
      await client.removeTree(root);
      expect(await treeAt(client, fork, undefined)).toEqual(own);
      for (const { snapshot } of seen) await client.snapshots.retire(snapshot);
      await client.removeTree(fork);
    }),
    { numRuns: 30 },
  );
}, 240_000);
