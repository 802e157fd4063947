import { systemClock } from '@nokv/types';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jailPlane } from './jail-plane.js';
import { MemoryPlane } from './testing/memory-plane.js';

function planted(): MemoryPlane {
  const plane = new MemoryPlane(systemClock);
  plane.write('/jail/in.txt', 'inside');
  plane.write('/jail/d/deep.txt', 'inside');
  plane.write('/out/secret.txt', 'SECRET');
  plane.write('/jailbreak/secret.txt', 'SECRET');
  return plane;
}

describe('a jail', () => {
  test.each([
    ['in.txt', '/jail/link'],
    ['d/deep.txt', '/jail/link'],
    ['/jail/d/deep.txt', '/jail/link'],
    ['../in.txt', '/jail/d/link'],
    ['d/../in.txt', '/jail/link'],
    ['/jail/d//./deep.txt', '/jail/link'],
  ])('follows a link to %s from %s', async (target, link) => {
    const plane = planted();
    plane.symlink(link, target);
    const body = await jailPlane(plane, '/jail').open(link);
    expect(new TextDecoder().decode(await body.read(0, 100))).toBe('inside');
    expect(body.entry.path).toBe(link);
  });

  test.each([
    '/out/secret.txt',
    '../out/secret.txt',
    '/jail/../out/secret.txt',
    '../jail/in.txt',
    '/jailbreak/secret.txt',
    'd/../../out/secret.txt',
    'up/out/secret.txt',
    'chain',
    '/',
  ])('refuses a link to %s', async (target) => {
    const plane = planted();
    plane.symlink('/jail/up', '..');
    plane.symlink('/jail/chain', 'up/jailbreak/secret.txt');
    plane.symlink('/jail/link', target);
    const jail = jailPlane(plane, '/jail');
    await expect(jail.open('/jail/link')).rejects.toMatchObject({ code: 'outside-root' });
    await expect(jail.stat('/jail/link')).rejects.toMatchObject({ code: 'outside-root' });
    expect((await jail.stat('/jail/link', { follow: false })).card.type).toBe('symlink');
  });

  test('says the same of what exists outside and of what does not', async () => {
    const jail = jailPlane(planted(), '/jail');
    await expect(jail.stat('/out/secret.txt')).rejects.toMatchObject({ code: 'outside-root' });
    await expect(jail.stat('/out/nothing')).rejects.toMatchObject({ code: 'outside-root' });
  });

  test('ends loops', async () => {
    const plane = planted();
    plane.symlink('/jail/a', 'b');
    plane.symlink('/jail/b', 'a');
    await expect(jailPlane(plane, '/jail').stat('/jail/a')).rejects.toMatchObject({ code: 'symlink-loop' });
  });

  test('never opens another inode than the one that it resolved', async () => {
    const plane = planted();
    const open = plane.open.bind(plane);
    let swaps = 0;
    plane.open = (path, options) => {
      swaps += 1;
      plane.remove('/jail/in.txt');
      plane.symlink('/jail/in.txt', '/out/secret.txt');
      return open(path, options);
    };
    await expect(jailPlane(plane, '/jail').open('/jail/in.txt')).rejects.toMatchObject({ code: 'outside-root' });
    expect(swaps).toBe(1);
  });

  test('no path made of names, dots and links reaches what lies outside', async () => {
    const step = fc.constantFrom('jail', 'out', 'jailbreak', 'd', '..', '.', '', 'in.txt', 'secret.txt', 'l0', 'l1', 'l2');
    const steps = fc.array(step, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(steps, steps, steps),
        fc.array(steps, { minLength: 1, maxLength: 10 }),
        fc.boolean(),
        async (targets, paths, isAbsolute) => {
          const plane = planted();
          for (const [i, target] of targets.entries())
            plane.symlink(i === 2 ? '/jail/d/l2' : `/jail/l${i}`, (isAbsolute ? `/${target}` : target) || '.');
          const jail = jailPlane(plane, '/jail');
          for (const path of paths) {
            for (const asked of [`/${path}`, `/jail/${path}`, `/jail/d/${path}`]) {
              const body = await jail.open(asked).catch(() => undefined);
              if (body !== undefined) expect(new TextDecoder().decode(await body.read(0, 100))).toBe('inside');
              const page = await jail.list(asked, { limit: 100 }).catch(() => undefined);
              expect(page?.entries.map((entry) => entry.name) ?? []).not.toContain('secret.txt');
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('at the root of the namespace it is no jail', () => {
    const plane = planted();
    expect(jailPlane(plane, '/')).toBe(plane);
  });
});
