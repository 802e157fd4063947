/** `txn`, `truncate` and `stat` of many paths, as people run them. */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMetric } from '../services/server.js';
import { type CliServer, type Ran, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;
beforeAll(async () => {
  server = await startCliServer();
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-lists-'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const lines = (...operations: object[]): string => operations.map((one) => JSON.stringify(one)).join('\n');
const txn = (input: string, ...flags: string[]): Promise<Ran> => server.run(['txn', '-', ...flags], { input, cwd: directory });

describe('txn', () => {
  it('applies all operations of JSON lines as one version', async () => {
    writeFileSync(join(directory, 'body.bin'), Buffer.alloc(100_000, 'b'));
    const { code, stdout } = await txn(
      lines(
        { op: 'require', path: '/t', exists: false },
        { op: 'mkdir', path: '/t/deep', parents: true, mode: '0700' },
        { op: 'put', path: '/t/text', text: 'hello', contentType: 'text/plain', mode: '0600' },
        { op: 'put', path: '/t/file', file: 'body.bin' },
        { op: 'put', path: '/t/bytes', base64: '/wD/' },
        { op: 'create', path: '/t/empty' },
        { op: 'symlink', target: 'text', path: '/t/s' },
        { op: 'link', existing: '/t/text', path: '/t/l' },
        { op: 'rename', from: '/t/empty', to: '/t/renamed', mode: 'no-replace' },
        { op: 'setattr', path: '/t/bytes', uid: 7, size: 2, mtime: '2020-01-02T03:04:05Z' },
        { op: 'xattr-set', path: '/t/text', name: 'user.a', value: 'A' },
        { op: 'xattr-set', path: '/t/text', name: 'user.b', base64: 'Qg==' },
        { op: 'xattr-remove', path: '/t/text', name: 'user.a' },
        { op: 'rmdir', path: '/t/deep' },
      ),
      '--json',
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    checkSchema('txn', result);
    expect(result.results).toHaveLength(13);
    expect(result.results[1]).toMatchObject({ op: 'publish', generation: result.version, created: true });
    const rows = (await server.json(['ls', '/t'])) as { path: string; generation: number }[];
    expect(rows.map(({ path }) => path)).toEqual(['/t/bytes', '/t/file', '/t/l', '/t/renamed', '/t/s', '/t/text']);
    const [stat] = await server.json(['stat', '/t/bytes']);
    expect(stat).toMatchObject({ uid: 7, size: 2, mtime: '2020-01-02T03:04:05.000000000Z' });
    expect(await server.must(['cat', '/t/s'])).toBe('hello');
    expect(await server.must(['xattr', 'list', '/t/text'])).toBe('user.b\n');
  });

  it('takes an array from a file, and says what it did', async () => {
    const file = join(directory, 'txn.json');
    writeFileSync(
      file,
      JSON.stringify([
        { op: 'mkdir', path: '/array' },
        { op: 'remove-tree', path: '/array' },
      ]),
    );
    expect(await server.must(['txn', file])).toMatch(/^version \d+: 2 operations\n$/);
  });

  it('applies nothing where one is refused, and says which', async () => {
    const refused = await txn(lines({ op: 'mkdir', path: '/no' }, {}, { op: 'unlink', path: '/none' }).replace('{}\n', '\n'));
    expect(refused.code).toBe(3);
    expect(refused.stderr).toMatch(/^nokv: txn: line 3: operation 1 \(unlink\): \/none: .*nothing of the transaction was applied/);
    const required = await txn(lines({ op: 'mkdir', path: '/no' }, { op: 'require', path: '/no', type: 'file' }), '--json');
    expect(required.code).toBe(3);
    expect(JSON.parse(required.stderr)).toMatchObject({ code: 'not-found', details: { precondition: 0 } });
    expect((await server.run(['stat', '/no'])).code).toBe(3);
  });

  it.each([
    ['no JSON', '{"op":', /line 1: not valid JSON/],
    ['no object', '[1]', /operation 0: expected an object/],
    ['an unknown operation', '{"op":"unlnk","path":"/a"}', /unknown operation "unlnk".*unlink/],
    ['an unknown member', '{"op":"unlink","path":"/a","force":true}', /unlink has no member "force"/],
    ['a missing member', '{"op":"rename","from":"/a"}', /member "to" is missing/],
    ['a member of another type', '{"op":"mkdir","path":"/a","parents":"yes"}', /parents: "yes" is no value of it/],
    ['permissions that are none', '{"op":"mkdir","path":"/a","mode":"999"}', /line 1: mode: /],
    ['two bodies', '{"op":"put","path":"/a","text":"","base64":""}', /expected exactly one of text, base64, file, found 2/],
    ['a path that is none', '{"op":"unlink","path":"a"}', /line 1: path: /],
  ])('refuses %s by line and member, exit code 2', async (_what, input, message) => {
    const { code, stderr } = await txn(input);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('asked again under its request id gives its first result', async () => {
    const input = lines({ op: 'put', path: '/again', text: 'x' });
    const first = await txn(input, '--request-id', 'txn-again', '--json');
    expect(await txn(input, '--request-id', 'txn-again', '--json')).toEqual(first);
    const other = await txn(lines({ op: 'put', path: '/again', text: 'y' }), '--request-id', 'txn-again');
    expect(other.code).toBe(2);
  });
});

describe('truncate', () => {
  it('cuts and extends files of any size', async () => {
    await server.must(['put', '-', '/log'], { input: 'some text' });
    const length = async (): Promise<number> => ((await server.json(['stat', '/log']))[0] as { size: number }).size;
    for (const [size, bytes] of [
      ['4', 4],
      ['64KiB', 65_536],
      ['100GiB', 100 * 2 ** 30],
      ['4', 4],
      ['0', 0],
    ] as const) {
      await server.must(['truncate', '-s', size, '/log']);
      expect(await length()).toBe(bytes);
      if (bytes === 4) expect(await server.must(['cat', '/log'])).toBe('some');
    }
    const rows = await server.json(['truncate', '-s', '1', '/log']);
    checkSchema('change', rows[0]);
    expect((await server.run(['truncate', '/log'])).code).toBe(2);
    expect((await server.run(['truncate', '-s', '1', '/none'])).code).toBe(3);
  });
});

describe('stat of many paths', () => {
  it('is one request for each 256', async () => {
    const paths = Array.from({ length: 300 }, (_, i) => `/many-${i}`);
    const put = paths.map((path) => ({ op: 'create', path }));
    expect((await txn(lines(...put))).code).toBe(0);
    const rpcs = (): Promise<number> => readMetric(server.http, 'nokv_rpc_request_seconds_count');
    const before = await rpcs();
    const rows = await server.json(['stat', ...paths]);
    expect((await rpcs()) - before).toBe(2);
    expect(rows.map((row) => (row as { path: string }).path)).toEqual(paths);
    const missing = await server.run(['stat', '--json', '/many-0', '/none', '/many-1']);
    expect(missing.code).toBe(3);
    expect(missing.stdout.trim().split('\n')).toHaveLength(1);
  });
});
