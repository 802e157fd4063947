/** Random lists of operations: as one transaction they come to the same as one by one, and where one is refused to nothing at all. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNokvError, type ListedMutation } from '@nokv/types';
import { contradictions } from './testing/check-rows.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** Few names, so that operations meet each other. */
const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
const attribute = fc.constantFrom('user.x', 'user.y');
const content = fc.constantFrom('', 'one', 'another body', 'x'.repeat(3000));

const mutation: fc.Arbitrary<ListedMutation> = fc.oneof(
  fc.record({ path, parents: fc.boolean() }).map(({ path: to, parents }): ListedMutation => ({
    operation: 'mkdir',
    args: { entry: at(to), mode: 0o755, parents, ...OWNER },
  })),
  fc.record({ path, exclusive: fc.boolean() }).map(({ path: to, exclusive }): ListedMutation => ({
    operation: 'create',
    args: { entry: at(to), mode: 0o644, type: 'file', exclusive, ...OWNER },
  })),
  fc.record({ path, content, parents: fc.boolean() }).map(({ path: to, content: text, parents }): ListedMutation => ({
    operation: 'publish',
    args: { node: at(to), body: inline(text), mode: 0o644, parents, digest: `d:${text.length}`, ...OWNER },
  })),
  fc.record({ path, target: path }).map(({ path: to, target }): ListedMutation => ({
    operation: 'symlink',
    args: { entry: at(to), target: bytes(target), ...OWNER },
  })),
  fc
    .record({ from: path, to: path })
    .map(({ from, to }): ListedMutation => ({ operation: 'link', args: { node: at(from), entry: at(to) } })),
  path.map((to): ListedMutation => ({ operation: 'unlink', args: { entry: at(to) } })),
  path.map((to): ListedMutation => ({ operation: 'rmdir', args: { entry: at(to) } })),
  path.map((to): ListedMutation => ({ operation: 'remove-tree', args: { entry: at(to) } })),
  fc
    .record({ from: path, to: path, mode: fc.constantFrom('replace' as const, 'no-replace' as const, 'exchange' as const) })
    .map(({ from, to, mode }): ListedMutation => ({ operation: 'rename', args: { from: at(from), to: at(to), mode } })),
  fc.record({ path, mode: fc.integer({ min: 0, max: 0o7777 }) }).map(({ path: to, mode }): ListedMutation => ({
    operation: 'setattr',
    args: { node: at(to), mode },
  })),
  fc.record({ path, size: fc.constantFrom(0, 2, 5000, 2 ** 40) }).map(({ path: to, size }): ListedMutation => ({
    operation: 'setattr',
    args: { node: at(to), size },
  })),
  fc.record({ path, attribute, content }).map(({ path: to, attribute: name, content: value }): ListedMutation => ({
    operation: 'xattr-set',
    args: { node: at(to), name: bytes(name), value: bytes(value), mode: 'set' },
  })),
  fc.record({ path, attribute }).map(({ path: to, attribute: name }): ListedMutation => ({
    operation: 'xattr-remove',
    args: { node: at(to), name: bytes(name) },
  })),
);

/** Everything that readers can see, without what only counts commits (versions, revisions, ordinals) or tells inodes apart. */
async function shown(shard: TestShard): Promise<unknown> {
  const found: Record<string, unknown> = {};
  const numbers = new Map<number, number>();
  const walk = async (directory: string): Promise<void> => {
    for (const name of await shard.names(directory === '' ? '/' : directory)) {
      const here = `${directory}/${name}`;
      const {
        type,
        mode,
        uid,
        gid,
        nlink,
        size,
        blocks,
        children,
        xattrs,
        digest,
        ino,
        target,
        inline: isInline,
      } = await shard.stat(here, false);
      if (!numbers.has(ino)) numbers.set(ino, numbers.size);
      const values = await Promise.all(
        xattrs.map(async (attribute) => [
          Buffer.from(attribute).toString(),
          (await shard.read('xattr-get', { node: { ino }, name: attribute })).value,
        ]),
      );
      const body = type === 'file' ? (await shard.read('open-read', { node: { ino } })).body : undefined;
      const same = numbers.get(ino);
      found[here] = { type, mode, uid, gid, nlink, size, blocks, children, values, digest, same, target, isInline, body };
      if (type === 'directory') await walk(here);
    }
  };
  await walk('');
  return { found, statfs: await shard.read('statfs', {}) };
}

interface OneByOne {
  readonly applied: readonly ListedMutation[];
  /** The first that was refused. */
  readonly refusal: { readonly index: number; readonly code: string } | undefined;
}

/** Applies each that is not refused. */
async function oneByOne(shard: TestShard, list: readonly ListedMutation[]): Promise<OneByOne> {
  const applied: ListedMutation[] = [];
  let refusal: OneByOne['refusal'];
  for (const [index, { operation, args }] of list.entries()) {
    try {
      await shard.do(operation, args);
      applied.push({ operation, args } as ListedMutation);
    } catch (error) {
      if (!isNokvError(error)) throw error;
      refusal ??= { index, code: error.code };
    }
  }
  return { applied, refusal };
}

const RUNS = 200;
const outcomes = { applied: 0, refused: 0 };

test('a transaction comes to what its operations come to one by one, or to nothing', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(mutation, { maxLength: 15 }),
      fc.array(mutation, { minLength: 1, maxLength: 60, size: 'max' }),
      async (before, list) => {
        const [whole, single] = await Promise.all([TestShard.open(), TestShard.open()]);
        // What is there before: whatever of it applies.
        for (const { operation, args } of before) {
          for (const shard of [whole, single]) await shard.do(operation, args).catch(() => undefined);
        }
        const untouched = await shown(whole);
        const { applied, refusal } = await oneByOne(single, list);
        if (refusal !== undefined) {
          outcomes.refused += 1;
          await expect(whole.do('transact', { operations: list })).rejects.toMatchObject({
            code: refusal.code,
            details: { index: refusal.index },
          });
          expect(await shown(whole)).toEqual(untouched);
        }
        outcomes.applied += applied.length;
        const versions = whole.engine.durableVersion;
        await whole.do('transact', { operations: applied });
        expect(whole.engine.durableVersion).toBe(versions + 1);
        expect(await shown(whole)).toEqual(await shown(single));
        expect(contradictions(whole.kv)).toEqual([]);
        await whole.maintain();
        expect(contradictions(whole.kv)).toEqual([]);
      },
    ),
    { numRuns: RUNS },
  );
  // Long transactions and refusals were met: otherwise this shows little.
  expect(outcomes.applied).toBeGreaterThan(RUNS * 5);
  expect(outcomes.refused).toBeGreaterThan(RUNS / 4);
});
