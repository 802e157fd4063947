/** `nokv mcp` as agents start it: a process of its own over a real server, spoken to by the official clients of both eras. */
import { Client as NewClient } from '@modelcontextprotocol/client';
import { StdioClientTransport as NewTransport } from '@modelcontextprotocol/client/stdio';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { NOKV, cleanEnv, nokv, startCliServer, type CliServer } from './cli-runner.js';

const NAMES = ['ls', 'stat', 'catalog', 'find', 'aggregate', 'read', 'grep'];

let server: CliServer;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nokv-mcp-'));
  const runs = join(folder, 'runs');
  for (let run = 0; run < 20; run++) {
    const at = join(runs, String(run));
    await mkdir(at, { recursive: true });
    await writeFile(join(at, 'metadata.json'), JSON.stringify({ name: `run-${run}`, status: run % 5 === 0 ? 'cancelled' : 'completed' }));
    await writeFile(
      join(at, 'stdout.txt'),
      Array.from({ length: 300 }, (_, step) => `step ${step} loss ${(run + 1) / (step + 1)}\n`).join(''),
    );
  }
  await writeFile(join(runs, 'model.bin'), Buffer.from([0, 1, 2, 3]));
  // Far more than what is kept inline: its bodies come from blocks.
  await writeFile(join(runs, 'large.log'), `${'a line of the large log\n'.repeat(400_000)}needle\n`);
  await symlink('19', join(runs, 'latest'));
  await symlink('/secret', join(runs, 'escape'));
  server = await startCliServer();
  await server.must(['put-artifact', '/runs', runs]);
  await writeFile(join(folder, 'key'), 'do not show\n');
  await server.must(['put', join(folder, 'key'), '/secret']);
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function command(flags: readonly string[]) {
  const env = Object.fromEntries(Object.entries(cleanEnv(server.env)).filter((entry): entry is [string, string] => entry[1] !== undefined));
  return { command: process.execPath, args: [NOKV, 'mcp', ...flags], env, stderr: 'inherit' as const };
}

async function oldClient(flags: readonly string[] = []): Promise<OldClient> {
  const client = new OldClient({ name: 'test', version: '1' });
  onTestFinished(() => client.close());
  await client.connect(new OldTransport(command(flags)));
  return client;
}

async function newClient(flags: readonly string[] = []): Promise<NewClient> {
  const client = new NewClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  onTestFinished(() => client.close());
  await client.connect(new NewTransport(command(flags)));
  return client;
}

async function ask(client: OldClient | NewClient, name: string, question: Record<string, unknown>): Promise<Record<string, unknown>> {
  const answer = await client.callTool({ name, arguments: question });
  expect(answer.content).toMatchObject([{ type: 'text' }]);
  expect(answer.isError, JSON.stringify(answer.content)).not.toBe(true);
  return answer.structuredContent as Record<string, unknown>;
}

describe.each([
  ['old', oldClient],
  ['new', newClient],
] as const)('the client of the %s era', (_era, connect) => {
  test('lists the seven tools and gets an answer from each', async () => {
    const client = await connect();
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(NAMES);
    expect(await ask(client, 'ls', { path: '/runs', limit: 5 })).toMatchObject({
      total: 24,
      entries: [{ name: '0', children: 2 }, {}, {}, {}, {}],
    });
    expect(await ask(client, 'stat', { path: ['/runs/3/metadata.json', '/runs/latest'] })).toMatchObject({
      items: [{ type: 'file', ordinal: 1 }, { type: 'directory' }],
    });
    expect(await ask(client, 'catalog', { path: '/runs' })).toMatchObject({ scan: { complete: true, entries: 64 } });
    expect(await ask(client, 'find', { path: '/runs', where: 'name = stdout.txt', sort: '-size,path', limit: 3 })).toMatchObject({
      matched: 20,
      rows: [{}, {}, {}],
    });
    expect(
      await ask(client, 'aggregate', {
        path: '/runs',
        where: 'type = file',
        by: ['extension'],
        metrics: ['count', 'max(size)'],
        sort: '-count,extension',
      }),
    ).toMatchObject({
      rows: [
        { extension: 'json', count: 20 },
        { extension: 'txt', count: 20 },
        { extension: 'bin', count: 1 },
        { extension: 'log', count: 1 },
      ],
    });
    expect(await ask(client, 'read', { path: '/runs/large.log', tail: 2 })).toMatchObject({
      items: [{ lines: ['a line of the large log', 'needle'] }],
    });
    expect(await ask(client, 'read', { path: '/runs/7/metadata.json', pointer: '/name' })).toMatchObject({ items: [{ value: 'run-7' }] });
    expect(await ask(client, 'grep', { path: '/runs', pattern: 'cancelled|needle', mode: 'count' })).toMatchObject({
      matches: 5,
      scan: { complete: true, binary: 1 },
    });
  });

  test('errors come as results that name what is wrong', async () => {
    const client = await connect();
    for (const [name, question, code] of [
      ['stat', { path: '/nowhere' }, 'not-found'],
      ['find', { path: '/runs', where: 'colour = red' }, 'invalid-argument'],
      ['read', { path: '/runs' }, 'is-directory'],
      ['ls', { path: '/runs/model.bin/x' }, 'not-directory'],
    ] as const) {
      expect(await client.callTool({ name, arguments: question })).toMatchObject({ isError: true, structuredContent: { error: { code } } });
    }
  });
});

test('the same question has the same answer here and on the command line', async () => {
  const client = await newClient();
  const questions: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
    [
      'find',
      { path: '/runs', where: 'extension = json and size > 10', sort: '-name', limit: 4 },
      ['find', '/runs', '--where', 'extension = json and size > 10', '--sort', '-name', '--limit', '4'],
    ],
    ['catalog', { path: '/runs' }, ['catalog', '/runs']],
    ['read', { path: '/runs/3/stdout.txt', tail: 3 }, ['read', '/runs/3/stdout.txt', '--tail', '3']],
    ['grep', { path: '/runs', pattern: 'step 29\\d loss 0.0', limit: 7 }, ['grep', 'step 29\\d loss 0.0', '/runs', '--limit', '7']],
  ];
  for (const [name, question, words] of questions) expect(await server.json(words)).toEqual([await ask(client, name, question)]);
});

test('a cited line reads back after the file was replaced', async () => {
  const client = await newClient();
  const [file] = (await ask(client, 'grep', { path: '/runs/5', pattern: 'step 100 ' })).files as {
    uri: string;
    lines: { line: number; text: string }[];
  }[];
  const [line] = file?.lines ?? [];
  await writeFile(join(folder, 'replacement'), 'other\n');
  await server
    .must(['put', '--replace', join(folder, 'replacement'), '/runs/5/stdout.txt'])
    .catch(() => server.must(['put', join(folder, 'replacement'), '/runs/5/stdout.txt']));
  expect(await ask(client, 'read', { path: `${file?.uri}#L${line?.line}` })).toMatchObject({ items: [{ lines: [line?.text] }] });
  expect(await ask(client, 'read', { path: '/runs/5/stdout.txt' })).toMatchObject({ items: [{ lines: ['other'] }] });
});

test('the root is a jail', async () => {
  const client = await newClient(['--root', '/runs']);
  expect(await ask(client, 'ls', { limit: 1 })).toMatchObject({ path: '/runs' });
  expect(await ask(client, 'read', { path: 'latest/metadata.json', pointer: '/name' })).toMatchObject({ items: [{ value: 'run-19' }] });
  for (const path of ['/secret', '../secret', '/runs/escape', 'nokv:///secret', '/']) {
    const answer = await client.callTool({ name: 'read', arguments: { path } });
    expect(answer).toMatchObject({ isError: true, structuredContent: { error: { kind: 'denied', code: 'outside-root' } } });
  }
  expect(await ask(client, 'grep', { pattern: 'do not show' })).toMatchObject({ matches: 0 });
});

test('standard output holds protocol and nothing else, and the end of the input ends the process', async () => {
  const input = [
    { id: 1, method: 'initialize', params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } },
    { method: 'notifications/initialized' },
    { id: 2, method: 'tools/call', params: { name: 'grep', arguments: { path: '/runs', pattern: 'needle' } } },
    { id: 3, method: 'ping' },
  ];
  const lines = ['not a message', ...input.map((message) => JSON.stringify({ jsonrpc: '2.0', ...message }))];
  const { code, stdout } = await server.run(['mcp', '-v'], { input: `${lines.join('\n')}\n` });
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { jsonrpc: string; id: number; result: object });
  expect(answers.every((answer) => answer.jsonrpc === '2.0')).toBe(true);
  expect(answers.map((answer) => answer.id).toSorted()).toEqual([1, 2, 3]);
  expect(answers.find((answer) => answer.id === 1)?.result).toMatchObject({ protocolVersion: '2024-11-05' });
  expect(answers.find((answer) => answer.id === 2)?.result).toMatchObject({ structuredContent: { matches: 1 } });
  expect(code).toBe(0);
});

test('a long search delays neither a ping nor a stat', async () => {
  const child = spawn(process.execPath, [NOKV, 'mcp'], { env: cleanEnv(server.env), stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const order: number[] = [];
  const done = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      order.push((JSON.parse(line) as { id: number }).id);
      if (order.length === 4) resolve();
    });
  });
  const send = (message: object): void => void child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  send({
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
  });
  send({ method: 'notifications/initialized' });
  // Eight times over ten megabytes, with a pattern that no text can rule out beforehand.
  send({
    id: 2,
    method: 'tools/call',
    params: { name: 'grep', arguments: { path: Array.from({ length: 8 }, () => '/runs/large.log'), pattern: '[b-z]+ [0-9]+$' } },
  });
  send({ id: 3, method: 'ping' });
  send({ id: 4, method: 'tools/call', params: { name: 'stat', arguments: { path: '/runs' } } });
  await done;
  expect(order.at(-1)).toBe(2);
});

test('without a server it ends with what to do', async () => {
  const { code, stdout, stderr } = await nokv(['mcp', '--server', '127.0.0.1:1', '--timeout', '2s'], { input: '' });
  expect({ code, stdout }).toEqual({ code: 9, stdout: '' });
  expect(stderr).toMatch(/^nokv: mcp: /);
});

test('a root that is no directory is refused', async () => {
  expect(await server.run(['mcp', '--root', '/secret'], { input: '' })).toMatchObject({ code: 2, stdout: '' });
  expect(await server.run(['mcp', '--root', '/none'], { input: '' })).toMatchObject({ code: 3, stdout: '' });
});
