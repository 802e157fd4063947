import fc from 'fast-check';
import { NokvError, type ErrorCode } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import { StillClock } from './testing/context.js';
import { MemoryPlane } from './testing/memory-plane.js';
import { comparePlaces, walk, type WalkOptions } from './walk.js';

async function places(plane: MemoryPlane, options: WalkOptions = {}): Promise<string[]> {
  const seen: string[] = [];
  for await (const { place } of walk(plane, await plane.stat('/'), options)) seen.push(place);
  return seen;
}

/** The same by plain recursion. */
async function allBelow(plane: MemoryPlane, directory: string): Promise<string[]> {
  const { entries } = await plane.list(directory === '' ? '/' : directory, { limit: 4096 });
  const below = await Promise.all(
    entries.map(async ({ path, card }) => [path.slice(1), ...(card.type === 'directory' ? await allBelow(plane, path) : [])]),
  );
  return below.flat();
}

const names = fc.constantFrom('a', 'b', 'c', 'B', 'é', 'a.b', 'z');
const trees = fc.uniqueArray(
  fc.array(names, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
  { maxLength: 20 },
);

function planted(paths: readonly string[]): MemoryPlane {
  const plane = new MemoryPlane(new StillClock());
  for (const [i, path] of paths.entries()) {
    try {
      if (i % 3 === 0) plane.mkdir(path);
      else plane.write(path, 'x');
    } catch {
      // A file stands where a directory is wanted: the tree goes without.
    }
  }
  return plane;
}

describe('a walk', () => {
  test('meets everything once, in its order', async () => {
    await fc.assert(
      fc.asyncProperty(trees, async (paths) => {
        const plane = planted(paths);
        expect(await places(plane)).toEqual((await allBelow(plane, '')).toSorted(comparePlaces));
      }),
    );
  });

  test('begins after any place, whether or not it is still there', async () => {
    await fc.assert(
      fc.asyncProperty(trees, fc.nat(), fc.boolean(), async (paths, index, isRemoved) => {
        const plane = planted(paths);
        const all = await places(plane);
        fc.pre(all.length > 0);
        const after = all[index % all.length] ?? '';
        if (isRemoved) plane.remove(`/${after}`);
        const rest = all.filter((place) => comparePlaces(place, after) > 0 && !(isRemoved && place.startsWith(`${after}/`)));
        expect(await places(plane, { after })).toEqual(rest);
      }),
    );
  });

  test('does not follow a link that took the place of the directory where it begins', async () => {
    const plane = new MemoryPlane(new StillClock());
    plane.write('/a/1', '');
    plane.write('/other/2', '');
    plane.write('/z', '');
    plane.remove('/a');
    plane.symlink('/a', 'other');
    expect(await places(plane, { after: 'a/1' })).toEqual(['other', 'other/2', 'z']);
  });

  test('goes through directories of many pages and trees of many directories', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (let i = 0; i < 2500; i++) plane.write(`/wide/${String(i).padStart(5, '0')}`, '');
    for (let i = 0; i < 50; i++) plane.write(`/many/${String(i).padStart(2, '0')}/f`, '');
    const seen = await places(plane);
    expect(seen).toHaveLength(2 + 2500 + 100);
    expect(seen).toEqual(seen.toSorted(comparePlaces));
  });

  test('lists each directory once, and empty ones only when it comes to them', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (let i = 0; i < 30; i++) plane.write(`/d${i}/f`, '');
    plane.calls.list = 0;
    await places(plane);
    expect(plane.calls.list).toBe(31);
  });

  test.each<[ErrorCode, boolean]>([
    ['not-found', true],
    ['permission-denied', true],
    ['unavailable', false],
  ])('a directory that answers %s meanwhile is left out: %s', async (code, isLeftOut) => {
    const plane = new MemoryPlane(new StillClock());
    for (const path of ['/a/1', '/b/2', '/c/3']) plane.write(path, '');
    const list = plane.list.bind(plane);
    plane.list = (path, options) => (path === '/b' ? Promise.reject(new NokvError(code, 'no')) : list(path, options));
    const left: string[] = [];
    const walked = places(plane, { onUnreadable: (path) => void left.push(path) });
    if (isLeftOut) {
      expect(await walked).toEqual(['a', 'a/1', 'b', 'c', 'c/3']);
      expect(left).toEqual(['/b']);
    } else await expect(walked).rejects.toMatchObject({ code });
  });

  test('a walk that is left early leaves no failure behind', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (const path of ['/a/1', '/b/2', '/c/3']) plane.write(path, '');
    const list = plane.list.bind(plane);
    plane.list = (path, options) => (path === '/c' ? Promise.reject(new NokvError('unavailable', 'no')) : list(path, options));
    for await (const { place } of walk(plane, await plane.stat('/'))) if (place === 'a/1') break;
    await new Promise((resolve) => setImmediate(resolve));
  });
});
