/** Versions, retention, snapshots, tags and moments, as people use them, over a real server. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { describe, expect, it } from 'vitest';
import {
  big,
  cat,
  change,
  content,
  directory,
  makeTree,
  objects,
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

describe('versions of a file', () => {
  it('are listed with what is known of each, and read by generation and by number', async () => {
    const bodies = [big('1'), big('2'), 'three\n'];
    const generations: number[] = [];
    for (const body of bodies) generations.push(await put('f', body));
    const rows = (await server.json(['log', `${top}/f`])) as Row[];
    rows.forEach((row) => checkSchema('log', row));
    expect(
      rows.map(({ generation, ordinal, size, digest, current, actor }) => [generation, ordinal, size, digest, current, actor]),
    ).toEqual([2, 1, 0].map((i) => [generations[i], i + 1, bodies[i]?.length, sha256(bodies[i] ?? ''), i === 2, 'cli:put']));
    expect(rows.map(({ time }) => String(time))).toEqual(
      rows
        .map(({ time }) => String(time))
        .toSorted()
        .toReversed(),
    );
    expect((await server.must(['log', `${top}/f`])).split('\n')[0]).toMatch(
      new RegExp(`^${generations[2]} +v3 +6 B +.*Z +current +cli:put +sha256:`),
    );
    expect((await server.json(['log', '-n', '2', `${top}/f`])).length).toBe(2);
    for (const [i, body] of bodies.entries()) {
      expect(sha256(await cat(`${top}/f@${generations[i]}`))).toBe(sha256(body));
      expect(sha256(await cat(`${top}/f@v${i + 1}`))).toBe(sha256(body));
      expect(await server.must(['cat', '--at', `v${i + 1}`, `${top}/f`])).toBe(String(body));
      expect(await one('stat', `${top}/f@v${i + 1}`)).toMatchObject({ generation: generations[i], ordinal: i + 1, size: body.length });
    }
    expect(await server.must(['head', '-c', '3', `${top}/f@v2`])).toBe('222');
    const [read] = (await server.json(['read', `${top}/f@v1`, '--bytes', '0-3'])) as { items: Row[] }[];
    expect(read?.items[0]).toMatchObject({ generation: generations[0], text: '1111' });
    await server.must(['get', `${top}/f@v2`, join(directory, 'f')]);
    expect(spawnSync('sha256sum', [join(directory, 'f')], { encoding: 'utf8' }).stdout.slice(0, 64)).toBe(sha256(bodies[1] ?? '').slice(7));
  });

  it('are made current again without sending a byte', async () => {
    const first = await put('f', big('1'));
    const second = await put('f', big('2'));
    const before = objects();
    expect(before).toBeGreaterThan(0);
    expect(await refused('revert', `${top}/f@v1`, '--if-generation', String(first))).toMatchObject({
      exit: 5,
      code: 'generation-mismatch',
    });
    const row = await one('revert', `${top}/f@v1`, '--if-generation', String(second));
    checkSchema('revert', row);
    expect(row).toMatchObject({ path: `${top}/f`, reverted: first, ordinal: 3, size: 100_000 });
    expect(row.generation).toBeGreaterThan(second);
    expect(objects()).toBe(before);
    expect(await cat(`${top}/f`)).toBe(String(big('1')));
    expect(((await server.json(['log', `${top}/f`])) as Row[]).map(({ ordinal }) => ordinal)).toEqual([3, 2, 1]);
    // What is current does not depend on the body that it was made from.
    expect((await one('stat', `${top}/f`)).digest).toBe(sha256(big('1')));
  });

  it('are pruned as the dry run said, and then say that they are not kept', async () => {
    for (const body of ['1', '22', '333', '4444']) await put('f', body);
    await put('d/g', 'x');
    await put('d/g', 'yy');
    // Young bodies stay by themselves.
    expect(await server.json(['prune', top])).toEqual([]);
    const words = ['prune', top, '--keep-last', '1', '--older-than', '0s'];
    const planned = (await server.json([...words, '--dry-run'])) as Row[];
    planned.forEach((row) => checkSchema('prune', row));
    expect(planned.map(({ path, ordinal, bytes, dryRun }) => [path, ordinal, bytes, dryRun])).toEqual([
      [`${top}/f`, 2, 2, true],
      [`${top}/f`, 1, 1, true],
    ]);
    expect((await server.json(['log', `${top}/f`])).length).toBe(4);
    const done = (await server.json(words)) as Row[];
    expect(done).toEqual(planned.map((row) => ({ ...row, dryRun: false })));
    expect(await server.json(words)).toEqual([]);
    expect(((await server.json(['log', `${top}/f`])) as Row[]).map(({ ordinal }) => ordinal)).toEqual([4, 3]);
    expect(await cat(`${top}/f@v3`)).toBe('333');
    expect(await refused('cat', `${top}/f@${String(planned[0]?.generation)}`)).toMatchObject({ exit: 3, code: 'retention-ended' });
    expect(await refused('cat', `${top}/f@v2`)).toMatchObject({ exit: 3, code: 'retention-ended' });
    // A citation of it says the same, instead of showing other bytes.
    expect(await refused('read', `nokv://${top}/f@${String(planned[0]?.generation)}#L1`)).toMatchObject({
      exit: 3,
      code: 'retention-ended',
    });
    expect(await refused('revert', `${top}/f@v1`)).toMatchObject({ exit: 3, code: 'retention-ended' });
    expect(await refused('cat', `${top}/f@v9`)).toMatchObject({ exit: 3, code: 'not-found' });
  });

  it('come back after they were removed, files and whole directories', async () => {
    await makeTree();
    const before = await content(top);
    await server.must(['rm', `${top}/a.txt`]);
    expect(await server.must(['undelete', `${top}/a.txt`])).toMatch(new RegExp(`^${top}/a.txt  is back`));
    expect(await cat(`${top}/a.txt`)).toBe('alpha\n');
    await server.must(['rm', '-r', `${top}/deep`]);
    expect(await refused('undelete', `${top}/a.txt`)).toMatchObject({ exit: 4, code: 'exists' });
    const row = await one('undelete', `${top}/deep`, '--to', `${top}/again`);
    checkSchema('change', row);
    expect(row).toMatchObject({ path: `${top}/again`, from: `${top}/deep` });
    expect(sha256(await cat(`${top}/again/er/c.bin`))).toBe(sha256(big('c')));
    expect(await server.must(['xattr', 'get', `${top}/again`, 'user.depth'])).toBe('1');
    await server.must(['mv', `${top}/again`, `${top}/deep`]);
    const paths = (rows: unknown) => (rows as Row[]).map(({ path, size, mode, digest }) => [path, size, mode, digest]);
    expect(paths(await content(top))).toEqual(paths(before));
    expect(await refused('undelete', `${top}/never`)).toMatchObject({ exit: 3 });
  });
});

describe('retention', () => {
  it('is said for a directory, inherited below it, and given back', async () => {
    expect(await one('retention', 'get', top)).toMatchObject({ keepLast: 1, keepFor: '1d', from: null });
    const set = await one('retention', 'set', top, '--keep-last', '3', '--keep-for', '36h');
    checkSchema('retention', set);
    expect(set).toMatchObject({ keepLast: 3, keepForMs: 129_600_000, from: top });
    await server.must(['mkdir', `${top}/d`]);
    expect(await one('retention', 'get', `${top}/d`)).toMatchObject({ keepLast: 3, keepFor: '36h', from: top });
    await server.must(['retention', 'set', `${top}/d`, '--keep-last', '7']);
    expect(await one('retention', 'get', `${top}/d`)).toMatchObject({ keepLast: 7, keepFor: '36h', from: `${top}/d` });
    await server.must(['retention', 'set', `${top}/d`, '--inherit']);
    expect(await one('retention', 'get', `${top}/d`)).toMatchObject({ keepLast: 3, from: top });
    for (const flags of [[], ['--inherit', '--keep-last', '1']]) {
      expect(await refused('retention', 'set', top, ...flags)).toMatchObject({ exit: 2 });
    }
  });

  it('decides what prune takes without flags', async () => {
    await server.must(['retention', 'set', top, '--keep-last', '2', '--keep-for', '0s']);
    for (const body of ['1', '2', '3', '4', '5']) await put('f', body);
    await server.must(['prune', top]);
    expect(((await server.json(['log', `${top}/f`])) as Row[]).map(({ ordinal }) => ordinal)).toEqual([5, 4, 3]);
    expect(await refused('cat', `${top}/f@v1`)).toMatchObject({ exit: 3, code: 'retention-ended' });
  });
});

describe('a snapshot', () => {
  it('is made, listed, shown, renewed and given up', async () => {
    const made = await one('snapshot', 'create', top, '--ttl', '1h', '--name', 'before the sweep', '--label', 'run=7', '--label', 'by=me');
    checkSchema('pin', made);
    expect(made).toMatchObject({
      kind: 'snapshot',
      path: top,
      name: 'before the sweep',
      labels: { by: 'me', run: '7' },
      actor: 'cli:snapshot create',
    });
    const id = String(made.id);
    const told = await server.must(['snapshot', 'create', top]);
    expect(told).toMatch(new RegExp(`^snapshot \\d+ of ${top} at version \\d+, kept until `));
    expect(told).toMatch(new RegExp(`nokv rollback ${top} --to snap:\\d+\n$`));
    const listed = (await server.json(['snapshot', 'list', top])) as Row[];
    expect(listed.map((row) => row.id)).toEqual([made.id, Number(/^snapshot (\d+)/.exec(told)?.[1])]);
    expect(await one('snapshot', 'info', id)).toEqual(listed[0]);
    expect(await server.must(['snapshot', 'info', `snap:${id}`])).toContain('before the sweep');
    const renewed = await one('snapshot', 'renew', id, '--ttl', '30d');
    expect(Date.parse(String(renewed.expiresAt))).toBeGreaterThan(Date.parse(String(made.expiresAt)));
    // A renewal never shortens.
    expect((await one('snapshot', 'renew', id, '--ttl', '1s')).expiresAt).toBe(renewed.expiresAt);
    await server.must(['snapshot', 'retire', id]);
    expect(((await server.json(['snapshot', 'list', top])) as Row[]).map((row) => row.id)).not.toContain(made.id);
    expect(await refused('ls', `${top}@snap:${id}`)).toMatchObject({ exit: 3, code: 'snapshot-expired' });
  });

  it('shows exactly what was there, whatever happens to it', async () => {
    await makeTree();
    const before = await view(top);
    const id = await snapshot(top);
    expect(await view(top, `@snap:${id}`)).toEqual(before);
    await change();
    const after = await view(top);
    expect(after).not.toEqual(before);
    expect(await view(top, `@snap:${id}`)).toEqual(before);
    expect(await server.must(['ls', '-R', '--at', `snap:${id}`, top])).toBe(await server.must(['ls', '-R', `${top}@snap:${id}`]));
    await server.must(['rm', '-r', top]);
    expect(await view(top, `@snap:${id}`)).toEqual(before);
    await server.must(['mkdir', top]);
  });

  it('is restored, searched and asked about like the present', async () => {
    await makeTree();
    const id = await snapshot(top);
    const restored = join(directory, 'restored');
    await server.must(['get', top, join(directory, 'now')]);
    await change();
    await server.must(['get', `${top}@snap:${id}`, restored]);
    const { status, stdout } = spawnSync('diff', ['-r', '--no-dereference', join(directory, 'now'), restored], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    const at = ['--at', `snap:${id}`];
    expect(await server.must(['grep', '-l', 'going', top, ...at])).toBe(`${top}/gone.txt\n`);
    expect(await server.must(['grep', '-l', 'going', top])).toBe('');
    expect(await server.must(['find', `${top}@snap:${id}`, '--where', 'name = gone.txt', '--fields', 'path'])).toContain(`${top}/gone.txt`);
    expect(await server.must(['readlink', `${top}/link@snap:${id}`])).toBe('a.txt\n');
    const [sum] = (await server.json(['du', '-s', top, ...at])) as Row[];
    expect(sum).toMatchObject({ files: 5, bytes: 100_017, directories: 4, others: 1 });
    expect(await server.must(['read', `${top}/a.txt`, ...at])).toContain('alpha');
    expect(await server.must(['tail', '-n', '1', `${top}/gone.txt`, ...at])).toBe('going\n');
    await server.must(['cp', `${top}/gone.txt@snap:${id}`, `${top}/gone-again.txt`]);
    expect(await cat(`${top}/gone-again.txt`)).toBe('going\n');
  });

  it('shows nothing from outside of its root', async () => {
    await makeTree();
    const id = await snapshot(`${top}/deep`);
    const whole = await snapshot(top);
    expect(await cat(`${top}/deep/b.txt@snap:${id}`)).toBe('beta\n');
    expect(await refused('cat', `${top}/a.txt@snap:${id}`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('ls', `${top}@snap:${id}`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('clone', `${top}/a.txt@snap:${id}`, `${top}/stolen`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect((await server.run(['stat', `${top}/stolen`])).code).toBe(3);
    expect(await cat(`${top}/a.txt@snap:${whole}`)).toBe('alpha\n');
  });

  it('that has expired, never was or cannot be is told apart', async () => {
    await put('f', 'x');
    const id = await snapshot(top, '--ttl', '1ms');
    expect(await refused('ls', `${top}@snap:${id}`)).toMatchObject({ exit: 3, code: 'snapshot-expired' });
    expect(await refused('snapshot', 'renew', String(id))).toMatchObject({ exit: 3, code: 'snapshot-expired' });
    expect(await refused('rollback', top, '--to', `snap:${id}`)).toMatchObject({ exit: 3, code: 'snapshot-expired' });
    expect(await refused('ls', `${top}@snap:999999`)).toMatchObject({ exit: 3, code: 'not-found' });
    expect(await refused('snapshot', 'info', '999999')).toMatchObject({ exit: 3, code: 'not-found' });
    for (const text of ['snap:', 'snap:x', 'snap:0', 'snap:1.5', 'snap:99999999999999999999']) {
      expect(await refused('ls', `${top}@${text}`)).toMatchObject({ exit: 2, code: 'invalid-argument' });
      expect(await refused('ls', top, '--at', text)).toMatchObject({ exit: 2, code: 'invalid-argument' });
    }
    expect(await cat(`${top}/f`)).toBe('x');
  });
});

describe('a moment', () => {
  it('is a version or a time, too', async () => {
    const generation = await put('f', 'one');
    const between = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await put('f', 'two');
    await server.must(['rm', `${top}/f`]);
    expect(await cat(`${top}/f@version:${generation}`)).toBe('one');
    expect(await server.must(['ls', top, '--at', String(generation)])).toBe('f\n');
    expect(await server.must(['ls', top, '--at', between])).toBe('f\n');
    expect(await server.must(['cat', `${top}/f`, '--at', between])).toBe('one');
    expect(await server.must(['ls', top])).toBe('');
    expect(await refused('ls', top, '--at', 'version:999999999')).toMatchObject({ exit: 2, code: 'invalid-argument' });
    expect(await refused('ls', top, '--at', 'yesterday')).toMatchObject({ exit: 2, code: 'invalid-argument' });
    expect(await refused('ls', `${top}@version:1`, '--at', between)).toMatchObject({ exit: 2, code: 'invalid-argument' });
    expect(await refused('grep', 'x', `${top}@version:${generation}`, `${top}@version:${generation - 1}`)).toMatchObject({ exit: 2 });
  });
});

describe('a tag', () => {
  it('names a state until it is moved, and is moved by those who know where it is', async () => {
    await put('f', 'one');
    const made = await one('tag', 'create', 'best', top, '--label', 'score=0.9');
    checkSchema('pin', made);
    expect(made).toMatchObject({ kind: 'tag', name: 'best', path: top, expiresAt: null, labels: { score: '0.9' } });
    await put('f', 'two');
    expect(await cat(`${top}/f@tag:best`)).toBe('one');
    expect(await refused('tag', 'create', 'best', top)).toMatchObject({ exit: 4, code: 'exists' });
    expect(await refused('tag', 'move', 'best', top, '--if-pin', '1')).toMatchObject({ exit: 5, code: 'tag-mismatch' });
    expect(await cat(`${top}/f@tag:best`)).toBe('one');
    const moved = await one('tag', 'move', 'best', top, '--if-pin', String(made.id));
    expect(moved.id).toBeGreaterThan(made.id as number);
    expect(await cat(`${top}/f@tag:best`)).toBe('two');
    // Of two who saw the same tag, one moves it.
    expect(await refused('tag', 'move', 'best', top, '--if-pin', String(made.id))).toMatchObject({ exit: 5, code: 'tag-mismatch' });
    expect(((await server.json(['tag', 'list', top])) as Row[]).map(({ name, id }) => [name, id])).toEqual([['best', moved.id]]);
    expect(await server.must(['tag', 'list'])).toContain('best');
    const id = await snapshot(top);
    await put('f', 'three');
    await server.must(['tag', 'create', 'from-the-past', `${top}@snap:${id}`]);
    expect(await cat(`${top}/f@tag:from-the-past`)).toBe('two');
    await server.must(['tag', 'rm', 'best']);
    await server.must(['tag', 'rm', 'from-the-past']);
    expect(await refused('tag', 'rm', 'best')).toMatchObject({ exit: 3, code: 'not-found' });
  });

  it('that is not there is told with those that sound like it', async () => {
    await put('f', 'x');
    await server.must(['tag', 'create', 'baseline', top]);
    for (const words of [
      ['cat', `${top}/f@tag:baselin`],
      ['tag', 'rm', 'bazeline'],
      ['tag', 'move', 'base-line', top],
      ['clone', `${top}@tag:baselines`, `${top}-clone`],
    ]) {
      expect(await refused(...words)).toMatchObject({
        exit: 3,
        code: 'not-found',
        message: expect.stringContaining('did you mean baseline') as string,
      });
    }
    for (const name of ['', 'a/b', 'a@b', 'x'.repeat(256), 'new\nline']) {
      expect(await refused('tag', 'create', name, top)).toMatchObject({ exit: 2 });
    }
    await server.must(['tag', 'rm', 'baseline']);
  });
});
