/** Merges of clones, as people use them, over a real server. */
import { checkSchema } from '@nokv/cli/testing';
import { describe, expect, it } from 'vitest';
import { cat, change, content, makeTree, one, refused, server, top, view, type Row } from './history-fixture.js';

describe('a merge', () => {
  it('brings all changes of a fork back', async () => {
    await makeTree();
    await server.must(['clone', top, `${top}-fork`]);
    await change(`${top}-fork`);
    const wanted = await content(`${top}-fork`);
    const plan = await one('merge', `${top}-fork`, '--dry-run');
    checkSchema('merge', plan);
    expect(plan).toMatchObject({ applied: false, dryRun: true, conflictCount: 0 });
    expect(await cat(`${top}/a.txt`)).toBe('alpha\n');
    const done = await one('merge', `${top}-fork`);
    checkSchema('merge', done);
    expect(done).toMatchObject({ applied: true, dryRun: false, conflictCount: 0, changes: plan.changes });
    // A merge changes the directories of the base, which says when.
    const settled = (rows: unknown) => (rows as Row[]).map((row) => (row.type === 'directory' ? { ...row, mtime: null } : row));
    expect(settled(await content(top))).toEqual(settled(wanted));
    expect(await server.json(['diff', top, `${top}-fork`])).toEqual([]);
  });

  it('of two forks that changed one file is told to the second, and changes nothing', async () => {
    await makeTree();
    const base = (await one('stat', `${top}/a.txt`)).generation;
    for (const name of ['one', 'two']) {
      await server.must(['clone', top, `${top}-${name}`]);
      await server.must(['put', '-', `${top}-${name}/a.txt`], { input: `of ${name}\n` });
      await server.must(['put', '-', `${top}-${name}/from-${name}`], { input: name });
    }
    await server.must(['merge', `${top}-one`]);
    expect(await cat(`${top}/a.txt`)).toBe('of one\n');
    const before = await view(top);
    for (const flags of [[], ['--dry-run']]) {
      const { exit, code, stdout } = await refused('merge', `${top}-two`, ...flags);
      expect({ exit, code }).toEqual({ exit: 5, code: 'merge-conflict' });
      const report = JSON.parse(stdout) as { conflicts: Row[] } & Row;
      checkSchema('merge', report);
      expect(report).toMatchObject({ applied: false });
      const live = (await one('stat', `${top}/a.txt`)).generation;
      const own = (await one('stat', `${top}-two/a.txt`)).generation;
      expect(report.conflicts.find(({ path }) => path === 'a.txt')).toMatchObject({
        fork: 'modified',
        live: 'modified',
        baseGeneration: base,
        liveGeneration: live,
        forkGeneration: own,
      });
    }
    const { code, stdout, stderr } = await server.run(['merge', `${top}-two`]);
    expect(code).toBe(5);
    expect(stdout).toMatch(new RegExp(`^a\\.txt +modified in the clone +modified in the base +base ${String(base)} `, 'm'));
    expect(stderr).toContain('nothing was applied');
    expect(await view(top)).toEqual(before);
  });

  it('of what is no fork is refused', async () => {
    await server.must(['mkdir', `${top}/plain`]);
    expect((await refused('merge', `${top}/plain`)).exit).toBe(2);
    expect(await refused('merge', `${top}/none`)).toMatchObject({ exit: 3, code: 'not-found' });
  });
});
