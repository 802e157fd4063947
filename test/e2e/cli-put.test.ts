/** `nokv put` with everything that may be given to it: conditions, labels, odd names, sources that change, places that are taken. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { checkSchema } from '@nokv/cli/testing';
import { connect, type NokvClient } from '@nokv/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startCliServer, type CliServer } from './cli-runner.js';

let server: CliServer;
let client: NokvClient;
let directory: string;
let top: string;
let count = 0;

beforeAll(async () => {
  server = await startCliServer();
  client = await connect({ address: server.rpc });
});
afterAll(async () => {
  await client?.close();
  await server?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-put-'));
  count += 1;
  top = `/p${count}`;
  await server.must(['mkdir', top]);
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

type Row = Readonly<Record<string, unknown>>;
const sha256 = (bytes: string | Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const local = (name: string, bytes: string | Uint8Array = name) => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};
const put = async (words: readonly string[], input = ''): Promise<Row> => {
  const [row] = (await server.json(['put', ...words], { input })) as Row[];
  checkSchema('put', row);
  return row ?? {};
};
const refused = async (words: readonly string[], input = ''): Promise<Row> => {
  const { code, stdout, stderr } = await server.run(['put', ...words, '--json'], { input });
  expect(stdout).toBe('');
  return { exit: code, ...(JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}') as Row) };
};
const names = async (path: string) => (await server.must(['ls', '-1', path])).split('\n').filter((name) => name !== '');

describe('conditions', () => {
  it('a generation wins once; the loser is told the current one', async () => {
    const file = local('f', 'one');
    const { generation } = await put([file, `${top}/f`]);
    const won = await put(['--if-generation', String(generation), '-', `${top}/f`], 'two');
    for (const source of ['-', file]) {
      expect(await refused(['--if-generation', String(generation), source, `${top}/f`], 'three')).toMatchObject({
        exit: 5,
        code: 'generation-mismatch',
        details: { expected: generation, generation: won.generation },
      });
    }
    expect(await refused(['--if-generation', '0', file, `${top}/f`])).toMatchObject({ exit: 4, code: 'exists' });
    expect(await refused(['--if-digest', sha256('one'), file, `${top}/f`])).toMatchObject({
      exit: 5,
      details: { digest: sha256('two'), generation: won.generation },
    });
    await put(['--if-digest', sha256('two'), file, `${top}/f`]);
  });

  it('of sixteen that put the same generation at once, one wins', async () => {
    const { generation } = await put(['-', `${top}/race`], 'first');
    const words = ['put', '--if-generation', String(generation), '-', `${top}/race`];
    const codes = await Promise.all(Array.from({ length: 16 }, async (_, i) => (await server.run(words, { input: `${i}` })).code));
    expect(codes.toSorted((a, b) => a - b)).toEqual([0, ...Array<number>(15).fill(5)]);
  });

  it('a repeat under its request id is answered as before, although the generation has moved on', async () => {
    const { generation } = await put(['-', `${top}/f`], 'one');
    const words = ['--if-generation', String(generation), '--request-id', `put-${count}`, local('f', 'two'), `${top}/f`];
    expect(await put(words)).toEqual(await put(words));
  });

  it('--no-clobber leaves alone what is there, and says so', async () => {
    await put(['-', `${top}/a`], 'old');
    const [a, b] = [local('a', 'new'), local('b', 'new')];
    const rows = (await server.json(['put', '-n', a, b, top])) as Row[];
    rows.forEach((row) => checkSchema('put', row));
    expect(rows).toMatchObject([
      { path: `${top}/a`, skipped: 'exists' },
      { path: `${top}/b`, created: true },
    ]);
    expect(await server.must(['cat', `${top}/a`, `${top}/b`])).toBe('oldnew');
  });
});

describe('places', () => {
  it('a directory that is there takes a file under its own name, and no byte is sent twice', async () => {
    const big = local('big', Buffer.alloc(5_000_000, 'x'));
    expect(await put([big, top])).toMatchObject({ path: `${top}/big` });
    await server.must(['ln', '-s', top, `${top}-link`]);
    expect(await put([local('f'), `${top}-link`])).toMatchObject({ path: `${top}-link/f` });
    expect(await names(top)).toEqual(['big', 'f']);
    expect(await refused(['-', top], 'x')).toMatchObject({ exit: 2, code: 'is-directory' });
    expect(await refused([local('f'), `${top}/big/below`])).toMatchObject({ exit: 2, code: 'not-directory' });
  });

  it('trees and files together go into a directory', async () => {
    mkdirSync(join(directory, 'tree/deep'), { recursive: true });
    writeFileSync(join(directory, 'tree/deep/x'), 'x');
    await server.must(['put', '-r', join(directory, 'tree'), local('f'), top]);
    expect(await server.must(['ls', '-R', '-1', top])).toContain('x');
    expect(await names(top)).toEqual(['f', 'tree']);
  });

  it('a dry run says what would lie where, and does nothing', async () => {
    mkdirSync(join(directory, 'tree/deep'), { recursive: true });
    writeFileSync(join(directory, 'tree/deep/x'), 'x');
    await put(['-', `${top}/f`], 'old');
    const rows = (await server.json(['put', '--dry-run', '-n', local('f'), local('g', 'gg'), top])) as Row[];
    rows.forEach((row) => checkSchema('put', row));
    expect(rows).toEqual([
      { path: `${top}/f`, skipped: 'exists' },
      { dryRun: true, path: `${top}/g`, source: join(directory, 'g'), size: 2 },
    ]);
    expect(await server.json(['put', '--dry-run', '-r', join(directory, 'tree'), `${top}/t`])).toEqual([
      { dryRun: true, path: `${top}/t/deep/x`, source: join(directory, 'tree/deep/x') },
    ]);
    expect(await names(top)).toEqual(['f']);
  });
});

describe('sources', () => {
  it('empty files, odd names and labels', async () => {
    expect(await put([local('none', ''), `${top}/none`])).toMatchObject({ size: 0, digest: sha256('') });
    const odd = Buffer.concat([Buffer.from(`${directory}/odd`), Buffer.from([0xff])]);
    writeFileSync(odd, 'odd');
    expect(await put([`${directory}/odd\\xff`, `${top}/`])).toMatchObject({ path: `${top}/odd\\xff`, size: 3 });
    expect((await refused([`${directory}/no\\xff`, top])).code).toBe('not-found');
    writeFileSync(join(directory, 'back\\x41slash'), 'b');
    expect(await put([join(directory, 'back\\x41slash'), `${top}/`])).toMatchObject({ path: `${top}/back\\\\x41slash` });
    await put(['--tag', 'stage=eval', '--tag', 'note=a=b', '--content-type', 'text/x-log', '-', `${top}/tagged`], 'x');
    expect((await server.json(['stat', `${top}/tagged`]))[0]).toMatchObject({
      tags: { stage: 'eval', note: 'a=b' },
      contentType: 'text/x-log',
    });
  });

  it('devices, fifos and directories are refused before anything is sent', async () => {
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    for (const source of [join(directory, 'fifo'), '/dev/null'])
      expect(await refused([source, `${top}/x`])).toMatchObject({ exit: 2, code: 'not-regular-file' });
    expect(await refused([directory, `${top}/x`])).toMatchObject({ exit: 2, code: 'is-directory' });
    for (const file of [join(directory, 'fifo'), '/dev/zero'])
      await expect(client.put(`${top}/x`, { file })).rejects.toMatchObject({ code: 'not-regular-file' });
    expect(await names(top)).toEqual([]);
  });

  it(
    'a file that grows, shrinks or is written to meanwhile is refused, and nothing is published unless asked for',
    { timeout: 60_000 },
    async () => {
      const size = 40 * 1024 * 1024;
      const file = local('growing', Buffer.alloc(size, 'x'));
      const changes: readonly [string, () => void][] = [
        ['grew', () => appendFileSync(file, 'more')],
        ['became shorter', () => truncateSync(file, size / 2)],
      ];
      for (const [how, change] of changes) {
        writeFileSync(file, Buffer.alloc(size, 'x'));
        let isChanged = false;
        const onProgress = ({ bytes }: { readonly bytes: number }) => {
          if (bytes === 0 || isChanged) return;
          isChanged = true;
          change();
        };
        await expect(client.put(`${top}/f`, { file }, { onProgress })).rejects.toMatchObject({
          code: 'source-changed',
          message: expect.stringContaining(how),
        });
        expect(await client.exists(`${top}/f`)).toBe(false);
        writeFileSync(file, Buffer.alloc(size, 'x'));
        isChanged = false;
        const { attributes } = await client.put(`${top}/${how}`, { file, ifChanged: 'accept' }, { onProgress });
        expect(attributes.size).toBeLessThanOrEqual(size);
      }
    },
  );

  it('buffers, text, blobs, web streams, Node streams and iterables are put as they are', async () => {
    const bytes = Buffer.alloc(5_000_000, 'stream');
    const chunks = () => Array.from({ length: 50 }, (_, i) => bytes.subarray(i * 100_000, (i + 1) * 100_000));
    async function* slowly() {
      for (const chunk of chunks()) {
        await Promise.resolve();
        yield chunk;
      }
    }
    const sources = {
      bytes,
      text: bytes.toString(),
      blob: new Blob([bytes]),
      file: { file: local('source', bytes) },
      'file by bytes': { file: Buffer.from(local('source', bytes)) },
      'web stream': new Blob([bytes]).stream(),
      'node stream': Readable.from(chunks()),
      'async iterable': slowly(),
      iterable: chunks(),
    };
    for (const [name, source] of Object.entries(sources)) {
      const told: number[] = [];
      const { digest } = await client.put(`${top}/${name}`, source, { onProgress: (progress) => told.push(progress.bytes) });
      expect([name, digest, told.at(-1)]).toEqual([name, sha256(bytes), bytes.length]);
    }
  });

  it('a signal or a deadline ends the put of each kind of stream, and nothing is visible', async () => {
    async function* endless() {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        yield Buffer.alloc(64 * 1024, 'x');
      }
    }
    const kinds = {
      iterable: endless,
      node: () => Readable.from(endless()),
      web: () => Readable.toWeb(Readable.from(endless())) as ReadableStream<Uint8Array>,
    };
    for (const [name, make] of Object.entries(kinds)) {
      const stop = new AbortController();
      const aborted = client.put(`${top}/${name}`, make(), { signal: stop.signal, onProgress: () => stop.abort() });
      await expect(aborted).rejects.toMatchObject({ code: 'cancelled' });
      await expect(client.put(`${top}/${name}`, make(), { timeoutMs: 100 })).rejects.toMatchObject({ code: 'deadline-exceeded' });
      expect(await client.exists(`${top}/${name}`)).toBe(false);
    }
  });

  it('a stream that fails publishes nothing, and its error is told', async () => {
    async function* failing() {
      yield Buffer.alloc(5_000_000, 'x');
      throw new Error('the source broke');
    }
    await expect(client.put(`${top}/f`, failing())).rejects.toThrow(/the source broke/);
    expect(await client.exists(`${top}/f`)).toBe(false);
  });
});
