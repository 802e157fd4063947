import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

const COOKBOOK = fileURLToPath(new URL('../../docs/cookbook.md', import.meta.url));
/** Inside this package, so that `@nokv/client` resolves; never committed. */
const PROGRAM_DIRECTORY = fileURLToPath(new URL('../dist/', import.meta.url));

const README = fileURLToPath(new URL('../../packages/client/README.md', import.meta.url));

let fixture: ClientFixture;
let program: string;

beforeAll(async () => {
  fixture = await startClientFixture();
  await mkdir(PROGRAM_DIRECTORY, { recursive: true });
  program = join(PROGRAM_DIRECTORY, `cookbook-${process.pid}.mjs`);
});

afterAll(async () => {
  await rm(program, { force: true });
  await fixture?.close();
});

function blocksOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
}

async function run(file: string, cwd: string): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [file], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, ...output };
}

test('every block of the cookbook runs and prints what it says', async () => {
  const markdown = await readFile(COOKBOOK, 'utf8');
  const code = blocksOf(markdown).join('\n');
  await writeFile(program, code.replaceAll('127.0.0.1:7777', fixture.server.rpc));
  const result = await run(program, fixture.directory);
  expect(result.stderr).toBe('');
  expect(result.code).toBe(0);
  const expected = [...code.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]);
  expect(result.stdout.trimEnd().split('\n')).toEqual(expected);
});

test('the example of the README runs', async () => {
  await mkdir(join(fixture.directory, 'checkpoint'), { recursive: true });
  await writeFile(
    program,
    blocksOf(await readFile(README, 'utf8'))
      .join('\n')
      .replaceAll('127.0.0.1:7777', fixture.server.rpc)
      .replaceAll('/7', '/from-readme'),
  );
  const result = await run(program, fixture.directory);
  expect(result).toMatchObject({ code: 0, stderr: '', stdout: 'report.md 9\n# Report\n\n' });
});

test('every public method of the client is in the cookbook', async () => {
  const markdown = blocksOf(await readFile(COOKBOOK, 'utf8')).join('\n');
  const members = Object.getOwnPropertyNames(Object.getPrototypeOf(fixture.client)).filter((name) => name !== 'constructor');
  expect(members.length).toBeGreaterThan(30);
  expect(members.filter((name) => !new RegExp(`client\\.${name}\\b`).test(markdown))).toEqual([]);
});
