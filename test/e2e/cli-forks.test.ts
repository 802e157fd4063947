/** Clones and rollbacks, as people use them, over a real server. */
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { describe, expect, it } from 'vitest';
import { startCliServer } from './cli-runner.js';
import {
  big,
  cat,
  change,
  content,
  directory,
  makeTree,
  one,
  put,
  refused,
  server,
  sha256,
  snapshot,
  top,
  view,
  type Row,
} from './history-fixture.js';

describe('a clone', () => {
  it('is independent of its source, which may be changed and removed', async () => {
    await makeTree();
    const before = await content(top);
    const made = await one('clone', top, `${top}-fork`);
    checkSchema('clone', made);
    expect(made).toMatchObject({ path: `${top}-fork`, from: top, at: null });
    expect(await content(`${top}-fork`)).toEqual(before);
    await change();
    expect(await content(`${top}-fork`)).toEqual(before);
    await server.must(['put', '-', `${top}-fork/a.txt`], { input: 'mine\n' });
    expect(await cat(`${top}/a.txt`)).toBe('ALPHA\n');
    // Both names of a file are still one file, and are changed together.
    expect(await cat(`${top}-fork/deep/hard`)).toBe('mine\n');
    expect(await server.must(['xattr', 'get', `${top}-fork/a.txt`, 'user.color'])).toBe('blue');
    await server.must(['rm', '-r', top]);
    expect(sha256(await cat(`${top}-fork/deep/er/c.bin`))).toBe(sha256(big('c')));
    await server.must(['mkdir', top]);
  });

  it('of a clone of a clone shows the same, eight deep', async () => {
    await makeTree();
    const before = await content(top);
    for (let depth = 1; depth <= 8; depth++) {
      await server.must(['clone', depth === 1 ? top : `${top}-c${depth - 1}`, `${top}-c${depth}`]);
    }
    await change();
    await server.must(['rm', '-r', `${top}-c1`, `${top}-c4`]);
    expect(await content(`${top}-c8`)).toEqual(before);
    expect(sha256(await cat(`${top}-c8/deep/er/c.bin`))).toBe(sha256(big('c')));
  });

  it('is made of the past, and of one file', async () => {
    await makeTree();
    const before = await content(top);
    const id = await snapshot(top);
    await change();
    expect(await one('clone', `${top}@snap:${id}`, `${top}-old`)).toMatchObject({ at: `snap:${id}` });
    expect(await content(`${top}-old`)).toEqual(before);
    await server.must(['clone', `${top}/gone.txt@snap:${id}`, `${top}/back/gone.txt`, '--parents']);
    expect(await cat(`${top}/back/gone.txt`)).toBe('going\n');
  });

  it('is refused where something is, inside itself and of what is not there, and changes nothing', async () => {
    await makeTree();
    const before = await view(top);
    expect(await refused('clone', `${top}/deep`, `${top}/empty`)).toMatchObject({ exit: 4, code: 'exists' });
    expect(await refused('clone', top, `${top}/deep/me`)).toMatchObject({ exit: 2, code: 'own-descendant' });
    expect(await refused('clone', `${top}/none`, `${top}/c`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('clone', `${top}/deep`, `${top}/none/c`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await view(top)).toEqual(before);
  });
});

describe('a rollback', () => {
  it('puts back what was there, and can be undone', async () => {
    await makeTree();
    const before = await content(top);
    const id = await snapshot(top);
    await change();
    const changed = await content(top);
    const row = await one('rollback', top, '--to', `snap:${id}`);
    checkSchema('rollback', row);
    expect(await content(top)).toEqual(before);
    const undo = (row.undo as Row).id as number;
    expect(await content(top, `@snap:${undo}`)).toEqual(changed);
    const told = await server.must(['rollback', top, '--to', `snap:${undo}`]);
    expect(told).toMatch(/^\/h\d+ {2}is as it was at version \d+\n {2}undo: {2}nokv rollback \/h\d+ --to snap:\d+ {3}\(kept until /);
    expect(await content(top)).toEqual(changed);
  });

  it('of one file brings back its body, and of what never was changes nothing', async () => {
    const generation = await put('f', 'one');
    await put('f', 'two');
    await server.must(['rollback', `${top}/f`, '--to', `version:${generation}`]);
    expect(await cat(`${top}/f`)).toBe('one');
    expect(await refused('rollback', `${top}/f`)).toMatchObject({ exit: 2 });
    expect(await refused('rollback', `${top}/f`, '--to', 'snap:999999')).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('rollback', `${top}/none`, '--to', `version:${generation}`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await cat(`${top}/f`)).toBe('one');
  });
});

describe('after a restart', () => {
  it('snapshots, tags and clones show what they showed', async () => {
    const data = join(directory, 'data');
    const first = await startCliServer({ data });
    const make = async (words: readonly string[], input?: string) => await first.must(words, input === undefined ? {} : { input });
    await make(['put', '-p', '-', '/w/f'], 'one');
    await make(['tag', 'create', 'best', '/w']);
    const id = ((await first.json(['snapshot', 'create', '/w']))[0] as Row).id as number;
    await make(['clone', '/w', '/fork']);
    await make(['put', '-', '/w/f'], 'two');
    await make(['rm', '-r', '/w']);
    await first.end('SIGKILL');
    await using second = await startCliServer({ data });
    for (const path of ['/w/f@tag:best', `/w/f@snap:${id}`, '/fork/f']) expect(await second.must(['cat', path])).toBe('one');
    expect((await second.json(['tag', 'list'])).length).toBe(1);
    await first[Symbol.asyncDispose]();
  });
});
