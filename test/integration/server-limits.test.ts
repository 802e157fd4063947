/** Limits that a machine sets: a disk that is mounted read-only, and files that a process may open. Each is named, and passes. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { isNokvError, type FsckItem } from '@nokv/types';
import { isReady, startServerProcess, type ServerProcess } from '../services/server.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

let directory: string;
let server: ServerProcess | undefined;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-limits-'));
});
afterEach(async () => {
  await server?.kill();
  server = undefined;
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<NokvClient> {
  server = await startServerProcess({ data: join(directory, 'data'), logLevel: 'warn' });
  return await connect({ address: server.rpc, timeoutMs: 5000 });
}

async function findings(client: NokvClient): Promise<FsckItem[]> {
  const found: FsckItem[] = [];
  for await (const item of client.metadata.fsck({ repair: 'none', checksums: true })) if (item.kind === 'finding') found.push(item);
  return found;
}

describe('a data directory on a disk that is mounted read-only', () => {
  it('is refused by name, untouched, and served again once it can be written', { timeout: 60_000 }, async ({ skip }) => {
    if (!isRoot) return skip('only root may mount a disk');
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'nokv-test', directory]);
    try {
      const client = await start();
      await client.put('/kept', 'body');
      await client.close();
      await server?.terminate();
      await run('mount', ['-o', 'remount,ro', directory]);
      const refusal = await start().catch((error: unknown) => error);
      expect(isNokvError(refusal) && { code: refusal.code, kind: refusal.kind }).toEqual({ code: 'permission-denied', kind: 'denied' });
      expect(isNokvError(refusal) && refusal.message).toContain(join(directory, 'data'));
      await run('mount', ['-o', 'remount,rw', directory]);
      const again = await start();
      expect(await (await again.get('/kept')).text()).toBe('body');
      await again.put('/after', 'more');
      expect(await findings(again)).toEqual([]);
      await again.close();
    } finally {
      await server?.kill();
      await run('umount', ['-l', directory]);
    }
  });
});

describe('a process with limits', () => {
  const limitTo = async (count: number): Promise<void> => {
    await run('prlimit', ['--pid', String(server?.pid), `--nofile=${count}:4096`]);
  };

  it('goes on with those who are connected, takes nobody new, and takes them when it may again', { timeout: 60_000 }, async () => {
    const client = await start();
    await client.put('/before', 'before');
    // Below what it has open already: everything that would be opened from now on is refused by the kernel.
    await limitTo(3);
    await client.put('/meanwhile', 'meanwhile');
    expect(await (await client.get('/before')).text()).toBe('before');
    const stranger = await connect({ address: server?.rpc ?? '', timeoutMs: 1500 }).catch((error: unknown) => error);
    expect(isNokvError(stranger) && stranger.kind).toBe('unavailable');
    await limitTo(4096);
    const welcome = await connect({ address: server?.rpc ?? '', timeoutMs: 5000 });
    expect(await (await welcome.get('/meanwhile')).text()).toBe('meanwhile');
    expect(await isReady(server?.http ?? '')).toBe(true);
    await client.put('/after', new Uint8Array(100_000));
    expect(await findings(welcome)).toEqual([]);
    await welcome.close();
    await client.close();
  });

  it.each([
    ['ulimit -n 128', { expected: 256, found: 128 }],
    ['ulimit -v 50000000', { found: 51_200_000_000 }],
  ])('does not start a server that would fail later, and says what to raise: %s', async (limit, details) => {
    const nokv = new URL('../../packages/cli/bin/nokv.mjs', import.meta.url).pathname;
    const words = `serve --data ${join(directory, 'data')} --listen 127.0.0.1:0 --http 127.0.0.1:0 --json`;
    const ended = await run('sh', ['-c', `${limit}; exec ${process.execPath} ${nokv} ${words}`]).catch((error: unknown) => error);
    const { code, stderr } = ended as { readonly code: number; readonly stderr: string };
    expect(code).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({ code: 'bad-configuration', details });
    await expect(rm(join(directory, 'data'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
