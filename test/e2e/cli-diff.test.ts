/** Differences, as people use them, over a real server. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { describe, expect, it } from 'vitest';
import { change, directory, makeTree, put, refused, server, sha256, snapshot, top, type Row } from './history-fixture.js';

const KINDS = ({ kind, path, fromPath, attributes }: Row) => ({ kind, path, ...(fromPath === null ? {} : { fromPath }), attributes });

describe('a difference', () => {
  const CHANGED = [
    { kind: 'modified', path: 'a.txt' },
    { kind: 'attributes', path: 'deep' },
    { kind: 'attributes', path: 'deep/b.txt' },
    { kind: 'modified', path: 'deep/hard' },
    { kind: 'added', path: 'deep/new.txt' },
    { kind: 'removed', path: 'empty' },
    { kind: 'removed', path: 'gone.txt' },
    { kind: 'removed', path: 'link' },
    { kind: 'renamed', path: 'moved', fromPath: 'deep/er' },
  ];
  const kindsOf = (rows: readonly Row[]) =>
    rows
      .map(({ kind, path, fromPath }) => ({ kind, path, ...(fromPath === null ? {} : { fromPath }) }))
      .toSorted((x, y) => (String(x.path) < String(y.path) ? -1 : 1));

  it('has a row for each change between any two of a snapshot, a tag, a fork and now', async () => {
    await makeTree();
    await server.must(['clone', top, `${top}-fork`]);
    const tag = `of-${top.slice(1)}`;
    await server.must(['tag', 'create', tag, top]);
    const id = await snapshot(top);
    expect(await server.json(['diff', `${top}@snap:${id}`])).toEqual([]);
    await change();
    for (const from of [`${top}@snap:${id}`, `${top}@tag:${tag}`, `${top}-fork`]) {
      const rows = (await server.json(['diff', from, top])) as Row[];
      rows.forEach((row) => checkSchema('diff', row));
      expect(kindsOf(rows), from).toEqual(CHANGED);
    }
    expect(await server.json(['diff', `${top}@snap:${id}`, `${top}-fork`])).toEqual([]);
    const rows = (await server.json(['diff', `${top}@snap:${id}`])) as Row[];
    expect(rows.find(({ path }) => path === 'deep/b.txt')).toMatchObject({
      attributes: ['mode'],
      a: { mode: '0644' },
      b: { mode: '0600' },
    });
    expect(rows.find(({ path }) => path === 'deep')?.attributes).toEqual(['xattrs']);
    expect(rows.find(({ path }) => path === 'a.txt')).toMatchObject({ a: { digest: sha256('alpha\n') }, b: { digest: sha256('ALPHA\n') } });
    const back = (await server.json(['diff', top, `${top}@snap:${id}`])) as Row[];
    expect(back.map(KINDS).find(({ path }) => path === 'gone.txt')).toMatchObject({ kind: 'added' });
    const names = (await server.must(['diff', '--name-only', `${top}@snap:${id}`])).trim().split('\n');
    expect(names.toSorted()).toEqual(CHANGED.map(({ path }) => path).toSorted());
    expect(await server.must(['diff', `${top}@snap:${id}`])).toContain('R  deep/er -> moved');
    await server.must(['tag', 'rm', tag]);
  });

  it('of two texts is that of diff -u', async () => {
    const a = Array.from({ length: 60 }, (_, i) => `line ${i}`).join('\n');
    const b = `${a.replace('line 7\n', '').replace('line 30', 'LINE 30')}\nand more\n`;
    await put('f', a);
    await put('f', b);
    writeFileSync(join(directory, 'a'), a);
    writeFileSync(join(directory, 'b'), b);
    const expected = spawnSync('diff', ['-u', 'a', 'b'], { cwd: directory, encoding: 'utf8' }).stdout.split('\n').slice(2);
    const shown = await server.must(['diff', `${top}/f@v1`, `${top}/f@v2`, '--text']);
    expect(shown.split('\n').slice(2)).toEqual(expected);
    expect(shown.split('\n').slice(0, 2)).toEqual([
      expect.stringMatching(new RegExp(`^--- ${top}/f@v1\t\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{9} \\+0000$`)),
      expect.stringMatching(new RegExp(`^\\+\\+\\+ ${top}/f@v2\t`)),
    ]);
    expect(await server.must(['diff', `${top}/f@v2`, `${top}/f`])).toBe('');
    await put('g', Buffer.from([0, 1, 2]));
    await put('g', Buffer.from([0, 1, 3]));
    expect(await server.must(['diff', `${top}/g@v1`, '--text'])).toBe(`Binary files ${top}/g@v1 and ${top}/g differ\n`);
  });

  it('of two trees is a patch that makes the one of the other', async () => {
    await makeTree();
    await server.must(['rm', `${top}/link`, `${top}/deep/hard`]);
    const id = await snapshot(top);
    await server.must(['get', top, join(directory, 'tree')]);
    await put('a.txt', 'alpha\nand beta\n');
    await put('deep/new.txt', 'new\n');
    await server.must(['rm', `${top}/gone.txt`]);
    const patch = await server.must(['diff', `${top}@snap:${id}`, top, '--text']);
    const ran = spawnSync('patch', ['-p1', '-s', '-E'], { cwd: join(directory, 'tree'), input: patch, encoding: 'utf8' });
    expect({ status: ran.status, out: ran.stdout + ran.stderr }).toEqual({ status: 0, out: '' });
    await server.must(['get', top, join(directory, 'new')]);
    const { status, stdout } = spawnSync('diff', ['-r', join(directory, 'tree'), join(directory, 'new')], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    const rows = (await server.json(['diff', `${top}@snap:${id}`, top, '--text'])) as Row[];
    rows.forEach((row) => checkSchema('diff', row));
    expect(rows.find(({ path }) => path === 'a.txt')?.patch).toContain('+and beta\n');
  });

  it('of a file inside a renamed directory compares it with where it lay', async () => {
    await makeTree();
    const id = await snapshot(top);
    await server.must(['mv', `${top}/deep`, `${top}/renamed`]);
    await put('renamed/b.txt', 'beta\nand more\n');
    const rows = (await server.json(['diff', `${top}@snap:${id}`])) as Row[];
    expect(rows.map(({ kind, path, fromPath }) => [kind, fromPath, path])).toEqual([
      ['renamed', 'deep', 'renamed'],
      ['modified', 'deep/b.txt', 'renamed/b.txt'],
    ]);
    const patch = await server.must(['diff', `${top}@snap:${id}`, '--text']);
    expect(patch).toContain('R  deep -> renamed\n--- a/deep/b.txt\t');
    expect(patch).toContain('+++ b/renamed/b.txt\t');
    expect(patch).toContain('@@ -1 +1,2 @@\n beta\n+and more\n');
  });

  it('is refused of a path with itself and of what is not there', async () => {
    expect(await refused('diff', top)).toMatchObject({ exit: 2 });
    expect(await refused('diff', top, `${top}/none`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('diff', `${top}@snap:1`, top, '--text', '--name-only')).toMatchObject({ exit: 2 });
  });
});

describe('an expired snapshot', () => {
  it('is compared with nothing', async () => {
    const id = await snapshot(top, '--ttl', '1ms');
    expect(await refused('diff', `${top}@snap:${id}`)).toMatchObject({ exit: 3, code: 'snapshot-expired' });
  });
});
