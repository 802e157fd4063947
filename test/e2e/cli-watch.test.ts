import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '@nokv/client';
import { checkSchema } from '@nokv/cli/testing';
import { until } from '../services/server.js';
import { NOKV, cleanEnv, jsonLines, startCliServer, type CliServer } from './cli-runner.js';

interface EventLine {
  readonly cursor: string;
  readonly kind: string;
  readonly path: string | null;
  readonly fromPath: string | null;
  readonly actor: string;
}

let server: CliServer;
beforeAll(async () => {
  server = await startCliServer();
}, 30_000);
afterAll(() => server[Symbol.asyncDispose]());

/** Makes a directory and says the version at which it was there. */
async function directory(path: string): Promise<string> {
  const [made] = (await server.json(['mkdir', '-p', path])) as [{ version: number }];
  return String(made.version);
}

async function events(words: readonly string[]): Promise<EventLine[]> {
  const lines = (await server.json(['watch', ...words])) as EventLine[];
  for (const line of lines) checkSchema('watch-event', line);
  return lines;
}

const shown = ({ kind, path, fromPath }: EventLine) => [kind, fromPath ?? '-', path ?? '-'].join(' ');

describe('nokv watch', () => {
  test('shows changes three levels down once each, in order, renames with both paths as they were', async () => {
    const since = await directory('/levels');
    await server.must(['mkdir', '-p', '/levels/a/b/c']);
    await server.must(['put', '-', '/levels/a/b/c/f'], { input: 'one' });
    await server.must(['mv', '/levels/a/b/c/f', '/levels/a/b/c/g']);
    await server.must(['mv', '/levels/a/b', '/levels/a/z']);
    await server.must(['chmod', '600', '/levels/a/z/c/g']);
    await server.must(['xattr', 'set', '/levels/a/z/c/g', 'user.k', 'v']);
    await server.must(['ln', '/levels/a/z/c/g', '/levels/a/z/c/h']);
    await server.must(['rm', '-r', '/levels/a/z']);
    const seen = await events(['/levels', '--since', since, '--limit', '11']);
    expect(seen.map(shown)).toEqual([
      'created - /levels/a',
      'created - /levels/a/b',
      'created - /levels/a/b/c',
      'created - /levels/a/b/c/f',
      'published - /levels/a/b/c/f',
      'renamed /levels/a/b/c/f /levels/a/b/c/g',
      'renamed /levels/a/b /levels/a/z',
      'attributes - /levels/a/z/c/g',
      'xattr - /levels/a/z/c/g',
      'linked - /levels/a/z/c/h',
      'removed - /levels/a/z',
    ]);
  });

  test('goes on after any cursor with exactly what follows', async () => {
    const since = await directory('/resumed');
    await server.must(['mkdir', '-p', '/resumed/a/b/c']);
    await server.must(['put', '-', '/resumed/f'], { input: 'x' });
    const all = await events(['/resumed', '--since', since, '--limit', '5']);
    for (const [i, { cursor }] of all.slice(0, -1).entries()) {
      expect(await events(['/resumed', '--since', cursor, '--limit', String(4 - i)])).toEqual(all.slice(i + 1));
    }
  });

  test('tells people one line a change, and the cursor on stderr', async () => {
    const since = await directory('/people');
    await server.must(['put', '-', '/people/f'], { input: 'x' });
    await server.must(['mv', '/people/f', '/elsewhere']);
    const { stdout, stderr, code } = await server.run(['watch', '/people', '--since', since, '--limit', '3']);
    expect(code).toBe(0);
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z`;
    const [created, published, renamed] = stdout.split('\n');
    expect(created).toMatch(new RegExp(`^${time}  created      /people/f  cli:put$`));
    expect(published).toMatch(new RegExp(`^${time}  published    /people/f  @\\d+  cli:put$`));
    expect(renamed).toMatch(new RegExp(`^${time}  renamed      /people/f -> \\(outside\\)  @\\d+  cli:mv$`));
    expect(stderr).toMatch(/^cursor \d+(\.\d+)?\n$/);
  });

  test('leaves out kinds and actors', async () => {
    const since = await directory('/filtered');
    await server.must(['put', '-', '/filtered/f'], { input: 'x' });
    await server.must(['chmod', '600', '/filtered/f']);
    await server.must(['mkdir', '/filtered/end']);
    const kinds = async (...words: string[]) => (await events(['/filtered', '--since', since, ...words])).map(({ kind }) => kind);
    expect(await kinds('--kinds', 'published,attributes', '--limit', '2')).toEqual(['published', 'attributes']);
    expect(await kinds('--actor', 'cli:chmod', '--limit', '1')).toEqual(['attributes']);
    expect(await kinds('--actor', 'cli:*', '--limit', '4')).toEqual(['created', 'published', 'attributes', 'created']);
    expect(await kinds('--except-actor', 'cli:put', '--limit', '2')).toEqual(['attributes', 'created']);
  });

  test('leaves out what the command itself did, and shows what others did', async () => {
    const since = await directory('/selves');
    await using trainer = await connect({ address: server.rpc, actor: 'trainer' });
    await server.must(['mkdir', '/selves/by-command']);
    await trainer.mkdir('/selves/by-trainer');
    const words = ['/selves', '--since', since, '--limit', '1'];
    expect((await events([...words, '--exclude-self'])).map(({ path }) => path)).toEqual(['/selves/by-trainer']);
    expect((await events(words)).map(({ path }) => path)).toEqual(['/selves/by-command']);
  });

  test('as a log: nokv log of a directory shows the same changes, newest first', async () => {
    const since = await directory('/logged');
    await server.must(['put', '-', '/logged/f'], { input: 'x' });
    await server.must(['mv', '/logged/f', '/logged/g']);
    await server.must(['rm', '/logged/g']);
    const watched = await events(['/logged', '--since', since, '--limit', '4']);
    const lines = (await server.json(['log', '/logged', '--limit', '4'])) as EventLine[];
    for (const line of lines) checkSchema('watch-event', line);
    expect(lines.toReversed().map(shown)).toEqual(watched.map(shown));
    const [newest, , , , made] = (await server.must(['log', '/logged'])).split('\n');
    expect(newest).toMatch(/ removed {6}\/logged\/g {2}@\d+ {2}cli:rm$/);
    expect(made).toMatch(/ created {6}\/logged {2}cli:mkdir$/);
  });

  test('interrupted ends with 130 and the cursor to go on from; what happened meanwhile comes then', async () => {
    const since = await directory('/stopped');
    const child = spawn(process.execPath, [NOKV, 'watch', '/stopped', '--json', '--since', since], { env: cleanEnv(server.env) });
    let [stdout, stderr] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const first = new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
        if (stdout.includes('\n')) resolve();
      });
    });
    await server.must(['mkdir', '/stopped/one']);
    await first;
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect((jsonLines(stdout) as EventLine[]).map(shown)).toEqual(['created - /stopped/one']);
    const cursor = /^cursor (\S+)$/m.exec(stderr)?.[1];
    await server.must(['mkdir', '/stopped/two']);
    expect((await events(['/stopped', '--since', cursor ?? '', '--limit', '1'])).map(shown)).toEqual(['created - /stopped/two']);
  });

  test('of a path where nothing is ends with 3, with a cursor that is none with 2, with one ahead of the log with 2', async () => {
    expect(await server.run(['watch', '/absent'])).toMatchObject({ code: 3 });
    expect(await server.run(['watch', '/', '--since', 'yesterday'])).toMatchObject({ code: 2 });
    expect(await server.run(['watch', '/', '--since', '999999999999'])).toMatchObject({ code: 2 });
    expect(await server.run(['watch', '/', '--kinds', 'exploded'])).toMatchObject({ code: 2 });
  });
});

test('a cursor that is older than the window ends with 5 and names the one to go on from after the tree was read again', async () => {
  await using small = await startCliServer({ flags: ['--change-window-versions', '5'] });
  const [{ version: since }] = (await small.json(['mkdir', '/d'])) as [{ version: number }];
  for (let i = 0; i < 20; i++) await small.must(['mkdir', `/d/${i}`]);
  const refusal = await until('the old changes are forgotten', async () => {
    const ran = await small.run(['watch', '/d', '--json', '--since', String(since), '--limit', '1']);
    return ran.code === 5 && ran;
  });
  const error = JSON.parse(refusal.stderr.trim().split('\n').at(-1) ?? '') as { code: string; details: { next: number } };
  checkSchema('error', error);
  expect(error.code).toBe('cursor-too-old');
  await small.must(['mkdir', '/d/after']);
  const [event] = (await small.json(['watch', '/d', '--since', String(error.details.next), '--limit', '1'])) as EventLine[];
  expect(event).toMatchObject({ kind: 'created', path: '/d/after' });
});
