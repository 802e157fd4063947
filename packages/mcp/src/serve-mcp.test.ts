import { Client as NewClient } from '@modelcontextprotocol/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import type { Transport as OldTransport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { PlaneBody } from '@nokv/agent';
import { MemoryPlane } from '@nokv/agent/testing';
import { systemClock } from '@nokv/types';
import { describe, expect, onTestFinished, test } from 'vitest';
import { INSTRUCTIONS } from './make-mcp-server.js';
import { TOOLS } from './tool-list.js';
import { VERBS, type VerbName } from '@nokv/agent';
import { readFileSync } from 'node:fs';
import { RawClient, connectedPair, type ConnectedPair } from './testing/connected-pair.js';
import { samplePlane } from './testing/sample-plane.js';

const NAMES = ['ls', 'stat', 'catalog', 'find', 'aggregate', 'read', 'grep'];

/** One good call of each verb with what its answer must hold. */
const CALLS: readonly (readonly [string, Record<string, unknown>, object])[] = [
  ['ls', { path: '/runs', limit: 3 }, { path: '/runs', total: 9 }],
  ['stat', { path: '/runs/1/log.txt' }, { items: [{ path: '/runs/1/log.txt', type: 'file', ordinal: 1 }] }],
  ['catalog', { path: '/runs' }, { path: '/runs', scan: { complete: true } }],
  ['find', { path: '/runs', where: 'extension = json', sort: '-size,path', limit: 2 }, { matched: 5, scan: { complete: true } }],
  ['aggregate', { path: '/runs', by: ['extension'], metrics: ['count', 'sum(size)'] }, { groups: 4 }],
  [
    'read',
    { path: '/runs/2/log.txt', offset: 8, limit: 1 },
    { items: [{ lines: ['step 7 of run 2 ERROR'], firstLine: 8, partial: true }] },
  ],
  ['grep', { pattern: 'error', ignoreCase: true, path: '/runs' }, { matches: 5, scan: { complete: true, binary: 1 } }],
];

async function oldClient(pair: ConnectedPair): Promise<OldClient> {
  const client = new OldClient({ name: 'test', version: '1' });
  await client.connect(pair.transport() as OldTransport);
  onTestFinished(() => client.close());
  return client;
}

async function newClient(pair: ConnectedPair): Promise<NewClient> {
  const client = new NewClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(pair.transport());
  onTestFinished(() => client.close());
  return client;
}

describe('handshake', () => {
  test.each(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'])('revision %s is answered in kind', async (revision) => {
    const raw = new RawClient(await connectedPair(samplePlane()));
    const answer = await raw.request(1, 'initialize', {
      protocolVersion: revision,
      capabilities: {},
      clientInfo: { name: 'raw', version: '1' },
    });
    expect(answer).toMatchObject({
      result: { protocolVersion: revision, serverInfo: { name: 'nokv' }, capabilities: { tools: {}, resources: {} } },
    });
    raw.send({ method: 'notifications/initialized' });
    expect(await raw.request(2, 'tools/list')).toMatchObject({ result: { tools: NAMES.map((name) => ({ name })) } });
    expect(await raw.request(3, 'ping')).toMatchObject({ result: {} });
  });

  test('revision 2026-07-28 is served without a handshake', async () => {
    const client = await newClient(await connectedPair(samplePlane()));
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(NAMES);
    expect(client.getInstructions()).toBe(INSTRUCTIONS);
  });

  test('a client that negotiates finds the newest revision', async () => {
    const client = new NewClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    await client.connect((await connectedPair(samplePlane())).transport());
    onTestFinished(() => client.close());
    expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
  });
});

describe.each([
  ['the old era', oldClient],
  ['the new era', newClient],
] as const)('tools, %s', (_era, connect) => {
  test('list in a fixed order with titles, annotations and schemas', async () => {
    const client = await connect(await connectedPair(samplePlane()));
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).toEqual(NAMES);
    for (const tool of tools) {
      expect(tool.title).toMatch(/^[A-Z]/);
      expect(tool.description?.length).toBeGreaterThan(20);
      expect(tool.annotations).toMatchObject({ readOnlyHint: true, idempotentHint: true, openWorldHint: false });
      expect(tool.inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(tool.outputSchema).toMatchObject({ type: 'object' });
    }
  });

  // The official clients check structuredContent against the published output schema.
  test.each(CALLS)('%s answers with structure and text', async (name, args, expected) => {
    const client = await connect(await connectedPair(samplePlane()));
    await client.listTools();
    const answer = await client.callTool({ name, arguments: args });
    expect(answer.isError).not.toBe(true);
    expect(answer.structuredContent).toMatchObject(expected);
    const [content] = answer.content as { type: string; text: string }[];
    expect(content?.type).toBe('text');
    expect(content?.text.length).toBeGreaterThan(10);
  });

  test.each([
    ['stat', { path: '/nowhere' }, 'not-found', 'not-found', '/nowhere'],
    ['find', { where: 'sise > 4' }, 'invalid-argument', 'invalid', 'did you mean size'],
    ['find', { where: 'size near 4' }, 'invalid-argument', 'invalid', 'operators: eq, ne'],
    ['find', { wher: 'size > 4' }, 'invalid-argument', 'invalid', 'did you mean where'],
    ['ls', { limit: 5000 }, 'invalid-argument', 'invalid', 'limit'],
    ['ls', { limit: 'many' }, 'invalid-argument', 'invalid', 'limit'],
    ['grep', { pattern: '(' }, 'invalid-argument', 'invalid', 'pattern'],
    ['grep', { pattern: '(a)\\1' }, 'invalid-argument', 'invalid', 'backreferences'],
    ['read', { path: '/runs/blob.bin' }, 'unsupported', 'invalid', 'base64'],
    ['read', {}, 'invalid-argument', 'invalid', 'path'],
    ['ls', { cursor: 'zzz' }, 'invalid-argument', 'invalid', 'cursor'],
  ])('%s %j fails with a reason', async (name, args, code, kind, hint) => {
    const client = await connect(await connectedPair(samplePlane()));
    await client.listTools();
    const answer = await client.callTool({ name, arguments: args });
    expect(answer.isError).toBe(true);
    expect(answer.structuredContent).toMatchObject({ error: { code, kind } });
    const [content] = answer.content as { text: string }[];
    expect(content?.text).toContain(`${code} (${kind}): `);
    expect(content?.text).toContain(hint);
  });

  test('an unknown tool is a protocol error that names the near ones', async () => {
    const client = await connect(await connectedPair(samplePlane()));
    await expect(client.callTool({ name: 'grpe', arguments: {} })).rejects.toThrow(/did you mean grep/);
  });

  test('resources: files by template, text and binary, at a generation and in part', async () => {
    const plane = samplePlane();
    const client = await connect(await connectedPair(plane));
    expect((await client.listResourceTemplates()).resourceTemplates).toMatchObject([{ uriTemplate: 'nokv://{+path}' }]);
    const first = plane.write('/notes.md', 'old\n');
    plane.write('/notes.md', 'new\n');
    expect((await client.listResources()).resources).toMatchObject([{ uri: 'nokv:///notes.md', name: 'notes.md' }]);
    expect((await client.readResource({ uri: 'nokv:///notes.md' })).contents).toMatchObject([{ text: 'new\n', mimeType: 'text/plain' }]);
    expect((await client.readResource({ uri: `nokv:///notes.md@${first}` })).contents).toMatchObject([{ text: 'old\n' }]);
    expect((await client.readResource({ uri: 'nokv:///runs/blob.bin' })).contents).toMatchObject([{ blob: 'AAEC/w==' }]);
    const part = await client.readResource({ uri: 'nokv:///runs/1/log.txt#L8-L8' });
    expect(JSON.stringify(part.contents)).toContain('ERROR');
    await expect(client.readResource({ uri: 'nokv:///nowhere' })).rejects.toThrow(/not/i);
  });

  test('paths complete', async () => {
    const client = await connect(await connectedPair(samplePlane()));
    const { completion } = await client.complete({
      ref: { type: 'ref/resource', uri: 'nokv://{+path}' },
      argument: { name: 'path', value: '/runs/1/l' },
    });
    expect(completion.values).toEqual(['/runs/1/log.txt']);
  });
});

describe('the root', () => {
  async function jailed(name: string, args: Record<string, unknown>) {
    const client = await newClient(await connectedPair(samplePlane(), { root: '/runs' }));
    return await client.callTool({ name, arguments: args });
  }

  test('absent and relative paths begin there', async () => {
    expect((await jailed('ls', {})).structuredContent).toMatchObject({ path: '/runs', total: 9 });
    expect((await jailed('stat', { path: '1/log.txt' })).structuredContent).toMatchObject({ items: [{ path: '/runs/1/log.txt' }] });
    expect((await jailed('stat', { path: '/runs/latest/log.txt' })).structuredContent).toMatchObject({
      items: [{ path: '/runs/latest/log.txt', type: 'file' }],
    });
  });

  test.each([
    ['ls', { path: '/' }],
    ['ls', { path: '/secret' }],
    ['ls', { path: '/runsx' }],
    ['stat', { path: '../secret/key.txt' }],
    ['stat', { path: '/runs/../secret/key.txt' }],
    ['stat', { path: '/runs/escape/key.txt' }],
    ['read', { path: '/runs/absolute' }],
    ['read', { path: '/runs/escape/key.txt' }],
    ['read', { path: '/runs/escape/../../secret/key.txt' }],
    ['read', { path: 'nokv:///secret/key.txt' }],
    ['read', { path: 'nokv:///runs/escape/key.txt#L1' }],
    ['ls', { path: '/runs/escape' }],
    ['find', { path: '/runs/escape' }],
    ['aggregate', { path: '/secret' }],
    ['catalog', { path: '/secret' }],
    ['grep', { pattern: 'show', path: ['/runs/escape'] }],
  ])('%s %j stays inside', async (name, args) => {
    const answer = await jailed(name, args);
    expect(answer.isError).toBe(true);
    expect(answer.structuredContent).toMatchObject({ error: { kind: 'denied', code: 'outside-root' } });
    expect(JSON.stringify(answer)).not.toContain('do not show');
  });

  test('a scan from the root never enters what a link shows', async () => {
    expect((await jailed('grep', { pattern: 'show' })).structuredContent).toMatchObject({ matches: 0, scan: { complete: true } });
    expect(JSON.stringify(await jailed('find', {}))).not.toContain('key.txt');
  });

  test('resources and completions stay inside too', async () => {
    const client = await newClient(await connectedPair(samplePlane(), { root: '/runs' }));
    await expect(client.readResource({ uri: 'nokv:///secret/key.txt' })).rejects.toThrow(/outside/);
    const { completion } = await client.complete({
      ref: { type: 'ref/resource', uri: 'nokv://{+path}' },
      argument: { name: 'path', value: '/secret/' },
    });
    expect(completion.values).toEqual([]);
  });

  test('a cursor of another place does not lead there', async () => {
    const outside = await (
      await newClient(await connectedPair(samplePlane()))
    ).callTool({ name: 'ls', arguments: { path: '/', limit: 1 } });
    const { cursor } = outside.structuredContent as { cursor: string };
    expect(await jailed('ls', { cursor })).toMatchObject({ isError: true, structuredContent: { error: { code: 'invalid-argument' } } });
  });

  test('a root that is no directory is refused at the start', async () => {
    await expect(connectedPair(samplePlane(), { root: '/runs/blob.bin' })).rejects.toMatchObject({ code: 'not-directory' });
    await expect(connectedPair(samplePlane(), { root: '/none' })).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('write tools are refused rather than pretended', async () => {
  await expect(connectedPair(samplePlane(), { allowWrite: true })).rejects.toMatchObject({ code: 'unsupported' });
});

describe('cost', () => {
  test('the seven tools with all schemas stay under 1,500 tokens', () => {
    expect(JSON.stringify({ tools: TOOLS }).length / 4).toBeLessThanOrEqual(1500);
  });

  test('the instructions stay under 150 tokens', () => {
    expect(INSTRUCTIONS.length / 4).toBeLessThanOrEqual(150);
  });
});

/** Bodies whose reads wait until they are let go. */
class SlowPlane extends MemoryPlane {
  readonly waiting: (() => void)[] = [];
  cancelled = 0;

  override async open(path: string, options: Parameters<MemoryPlane['open']>[1] = {}): Promise<PlaneBody> {
    if (path.includes('slow')) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
        options.signal?.addEventListener('abort', () => {
          this.cancelled += 1;
          resolve();
        });
      });
    }
    return super.open(path, options);
  }
}

describe('concurrency', () => {
  async function slowPair(): Promise<{ readonly plane: SlowPlane; readonly raw: RawClient; readonly pair: ConnectedPair }> {
    const plane = new SlowPlane(systemClock);
    plane.write('/slow.txt', 'needle\n');
    plane.write('/quick.txt', 'needle\n');
    const pair = await connectedPair(plane);
    const raw = new RawClient(pair);
    await raw.request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } });
    raw.send({ method: 'notifications/initialized' });
    return { plane, raw, pair };
  }

  test('a slow call delays neither a ping nor another call', async () => {
    const { plane, raw } = await slowPair();
    raw.send({ id: 2, method: 'tools/call', params: { name: 'read', arguments: { path: '/slow.txt' } } });
    expect(await raw.request(3, 'ping')).toMatchObject({ result: {} });
    expect(await raw.request(4, 'tools/call', { name: 'read', arguments: { path: '/quick.txt' } })).toMatchObject({
      result: { structuredContent: {} },
    });
    expect(raw.messages.some((message) => message.id === 2)).toBe(false);
    for (const go of plane.waiting) go();
    expect(await raw.answer(2)).toMatchObject({ result: { structuredContent: { items: [{ lines: ['needle'] }] } } });
  });

  test('a search that only computes lets a ping through', async () => {
    const plane = new MemoryPlane(systemClock);
    for (let i = 0; i < 30; i++) plane.write(`/big/${i}.log`, `${'x'.repeat(80)}\n`.repeat(20_000));
    const raw = new RawClient(await connectedPair(plane));
    await raw.request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } });
    raw.send({ id: 2, method: 'tools/call', params: { name: 'grep', arguments: { pattern: '[a-w]\\d+y' } } });
    raw.send({ id: 3, method: 'ping' });
    await raw.answer(2);
    expect(raw.messages.map((message) => message.id)).toEqual([1, 3, 2]);
  });

  test('a cancelled call stops its work and is not answered', async () => {
    const { plane, raw } = await slowPair();
    raw.send({ id: 2, method: 'tools/call', params: { name: 'grep', arguments: { pattern: 'needle' } } });
    while (plane.waiting.length === 0) await raw.request(100 + raw.messages.length, 'ping');
    raw.send({ method: 'notifications/cancelled', params: { requestId: 2 } });
    while (plane.cancelled === 0) await raw.request(100 + raw.messages.length, 'ping');
    expect(await raw.request(5, 'tools/call', { name: 'read', arguments: { path: '/quick.txt' } })).toMatchObject({ result: {} });
    expect(raw.messages.some((message) => message.id === 2)).toBe(false);
  });

  test('what was asked before the input ended is answered, then it closes', async () => {
    const pair = await connectedPair(samplePlane());
    const raw = new RawClient(pair);
    raw.send({
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
    });
    raw.send({ method: 'notifications/initialized' });
    raw.send({ id: 2, method: 'tools/call', params: { name: 'grep', arguments: { pattern: 'ERROR' } } });
    pair.input.end();
    await pair.service.closed;
    expect(await raw.answer(2)).toMatchObject({ result: { structuredContent: { matches: 5 } } });
  });

  test('lines that are no protocol are skipped and the connection lives on', async () => {
    const errors: Error[] = [];
    const pair = await connectedPair(samplePlane(), { onError: (error) => errors.push(error) });
    const raw = new RawClient(pair);
    pair.input.write('this is no JSON\n{"jsonrpc":"2.0"}\n[1,2\n');
    expect(
      await raw.request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }),
    ).toMatchObject({ result: {} });
    expect(errors.length).toBeGreaterThan(0);
  });
});

test('the calls that the documentation shows are valid', () => {
  const page = readFileSync(new URL('../../../docs/mcp.md', import.meta.url), 'utf8');
  const calls = page.split('\n').filter((line) => line.startsWith('{"name":'));
  expect(calls.length).toBeGreaterThan(4);
  for (const call of calls) {
    const { name, arguments: input } = JSON.parse(call) as { name: VerbName; arguments: unknown };
    expect(VERBS[name].input.safeParse(input)).toMatchObject({ success: true });
  }
});
