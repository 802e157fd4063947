/** The same question gives the same answer at the prompt and over MCP. */
import { spawnSync } from 'node:child_process';
import { checkSchema } from '@nokv/cli/testing';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliServer, CHECKOUT, NOKV, cleanEnv, startCliServer } from './cli-runner.js';

let server: CliServer;
let mcp: Client;

beforeAll(async () => {
  server = await startCliServer();
  await server.must(['put-artifact', '/src', `${CHECKOUT}/packages/types/src`]);
  await server.must(['put', '--parents', '-', '/runs/1/metrics.json'], { input: '{"loss": {"last": 0.25}}' });
  await server.must(['put', '-', '/runs/1/log'], {
    input: Array.from({ length: 1000 }, (_, i) => `step ${i} loss ${1 / (i + 1)}\n`).join(''),
  });
  await server.must(['ln', '-s', '1', '/runs/latest']);
  mcp = new Client({ name: 'e2e', version: '1' });
  const env = Object.fromEntries(
    Object.entries(cleanEnv(server.env)).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])),
  );
  await mcp.connect(new StdioClientTransport({ command: process.execPath, args: [NOKV, 'mcp'], env, stderr: 'ignore' }));
}, 60_000);
afterAll(async () => {
  await mcp?.close();
  await server?.[Symbol.asyncDispose]();
});

const overMcp = async (name: string, question: Record<string, unknown>) =>
  (await mcp.callTool({ name, arguments: question })).structuredContent;

/** Times that a scan took differ from one to the next. */
const steady = (answer: unknown): unknown =>
  JSON.parse(JSON.stringify(answer, (key, value: unknown) => (key === 'elapsedMs' ? undefined : value)));

describe('a question', () => {
  it.each<readonly [string, readonly string[], Record<string, unknown>]>([
    ['catalog', ['catalog', '/runs'], { path: '/runs' }],
    [
      'find',
      ['find', '/src', '--where', 'size > 4KiB and name suffix .ts', '--sort=-size,name', '--fields', 'path,size', '--limit', '3'],
      { path: '/src', where: 'size > 4KiB and name suffix .ts', sort: ['-size', 'name'], fields: ['path', 'size'], limit: 3 },
    ],
    [
      'aggregate',
      ['aggregate', '/', '--by', 'type,extension', '--metric', 'count', '--metric', 'sum(size)', '--sort=-count'],
      { path: '/', by: ['type', 'extension'], metrics: ['count', 'sum(size)'], sort: ['-count'] },
    ],
    [
      'grep',
      ['grep', '-i', 'NOKVERROR', '/src', '--glob', '*.ts', '-C', '1', '--limit', '5'],
      { pattern: 'NOKVERROR', path: ['/src'], ignoreCase: true, glob: ['*.ts'], context: 1, limit: 5 },
    ],
    ['grep', ['grep', '-F', '-c', '0.5', '/runs'], { pattern: '0.5', path: ['/runs'], literal: true, mode: 'count' }],
    ['read', ['read', '/runs/1/log', '--tail', '3'], { path: '/runs/1/log', tail: 3 }],
    ['read', ['read', '/runs/latest/log', '--lines', '10-12'], { path: '/runs/latest/log', offset: 10, limit: 3 }],
    ['read', ['read', '/runs/1/metrics.json', '--pointer', '/loss/last'], { path: '/runs/1/metrics.json', pointer: '/loss/last' }],
    [
      'read',
      ['read', '/runs/1/log', '/runs/1/metrics.json', '--bytes', '0-9'],
      { path: ['/runs/1/log', '/runs/1/metrics.json'], bytes: '0-9' },
    ],
  ])('%s: %j', async (name, words, question) => {
    const [answer] = await server.json(words);
    checkSchema(name, answer);
    expect(steady(answer)).toEqual(steady(await overMcp(name, question)));
  });

  it('takes the whole question as JSON', async () => {
    const question = { path: '/src', where: { field: 'size', op: 'gt', value: 4096 }, sort: '-size' };
    expect(steady(await server.json(['find', '--query', JSON.stringify(question)]))).toEqual([steady(await overMcp('find', question))]);
  });

  it('prints rows for the next program, and says on stderr what they cover', async () => {
    const { stdout, stderr } = await server.run(['find', '/runs', '--where', 'type = file', '--fields', 'path,size']);
    expect(stdout.split('\n')[0]).toBe('path\tsize');
    expect(stdout).toContain('/runs/1/metrics.json\t24\n');
    expect(stderr).toBe('2 rows, 2 matched\n');
  });

  it('finds what ripgrep finds', async () => {
    const rg = spawnSync('rg', ['-n', '--no-heading', '--no-ignore', '--hidden', '--sort', 'path', 'class \\w+', '.'], {
      cwd: `${CHECKOUT}/packages/types/src`,
      encoding: 'utf8',
    });
    const ours = await server.must(['grep', 'class \\w+', '/src', '--all']);
    expect(ours.split('\n').toSorted()).toEqual(rg.stdout.replaceAll(/^\.\//gm, '/src/').split('\n').toSorted());
  });

  it('goes on where it stopped, to the end when asked', async () => {
    const pages: string[] = [];
    let cursor: string | undefined;
    do {
      const [page] = (await server.json([
        'find',
        '/src',
        '--fields',
        'path',
        '--limit',
        '5',
        ...(cursor === undefined ? [] : ['--cursor', cursor]),
      ])) as { rows: { path: string }[]; cursor?: string }[];
      pages.push(...(page?.rows ?? []).map(({ path }) => path));
      ({ cursor } = page ?? {});
    } while (cursor !== undefined);
    const all = (await server.json(['find', '/src', '--fields', 'path', '--limit', '7', '--all'])) as { rows: { path: string }[] }[];
    expect(all.flatMap(({ rows }) => rows.map(({ path }) => path))).toEqual(pages);
    expect(new Set(pages).size).toBe(pages.length);
    const shown = await server.run(['find', '/src', '--fields', 'path', '--limit', '7', '--all']);
    expect(shown.stdout).toBe(['path', ...pages, ''].join('\n'));
    expect(shown.stderr).toBe(`${pages.length} rows, ${pages.length} matched\n`);
  });

  it('keeps an agent below its root', async () => {
    const jailed = new Client({ name: 'e2e', version: '1' });
    const env = Object.fromEntries(
      Object.entries(cleanEnv(server.env)).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])),
    );
    await jailed.connect(
      new StdioClientTransport({ command: process.execPath, args: [NOKV, 'mcp', '--root', '/runs'], env, stderr: 'ignore' }),
    );
    try {
      expect((await jailed.callTool({ name: 'ls', arguments: { path: '/src' } })).isError).toBe(true);
    } finally {
      await jailed.close();
    }
  });
});
