/** `--as`: commands on behalf of a user, checked by the server. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '@nokv/client';
import { type CliServer, startCliServer } from './cli-runner.js';

let server: CliServer;
beforeAll(async () => {
  server = await startCliServer();
  await server.must(['chmod', '1777', '/']);
});
afterAll(async () => await server?.[Symbol.asyncDispose]());

const mine = ['--as', '1000:100'];
const theirs = ['--as', '1001:101,102'];

describe('a file of mode 0600 of user 1000', () => {
  beforeAll(async () => {
    await server.must([...mine, 'put', '-', '/secret'], { input: 'the secret\n' });
    await server.must([...mine, 'chmod', '0600', '/secret']);
  });

  it('is read by its owner, by user 0 and without --as', async () => {
    for (const flags of [mine, ['--as', '0'], []]) {
      expect(await server.must([...flags, 'cat', '/secret'])).toBe('the secret\n');
    }
  });

  it('is refused to user 1001 with exit code 6, whatever the command', async () => {
    for (const words of [
      ['cat', '/secret'],
      ['head', '/secret'],
      ['cp', '/secret', '/copy'],
    ]) {
      const { code, stderr } = await server.run([...theirs, ...words]);
      expect({ words, code }).toEqual({ words, code: 6 });
      expect(stderr).toContain('/secret: user 1001 may not read it (mode 0600, owner 1000:100)');
    }
    for (const words of [
      ['rm', '/secret'],
      ['chmod', '644', '/secret'],
      ['mv', '/secret', '/stolen'],
    ]) {
      expect((await server.run([...theirs, ...words])).code).toBe(6);
    }
    const { code, stderr } = await server.run([...theirs, 'put', '-', '/secret', '--json'], { input: 'x' });
    expect(code).toBe(6);
    expect(JSON.parse(stderr)).toMatchObject({ code: 'permission-denied', kind: 'denied', outcome: 'not-applied' });
  });

  it('is refused to a program that gives the user to connect or NOKV_AS', async () => {
    expect((await server.run(['cat', '/secret'], { env: { NOKV_AS: '1001' } })).code).toBe(6);
    await using client = await connect({ address: server.rpc, as: { uid: 1001, gid: 101, groups: [] } });
    await expect(client.get('/secret')).rejects.toMatchObject({ code: 'permission-denied' });
    await expect(client.watch('/')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'not-permitted' });
    await client.put('/theirs', 'x');
    expect(await client.stat('/theirs')).toMatchObject({ uid: 1001, gid: 101 });
    await expect(connect({ address: server.rpc, as: 'nobody' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

it('whole trees are published, copied, restored and removed on behalf of a user', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nokv-cli-as-'));
  try {
    mkdirSync(join(directory, 'tree/sub'), { recursive: true });
    for (const name of ['a', 'sub/b', 'sub/c']) writeFileSync(join(directory, 'tree', name), `file ${name}`);
    writeFileSync(join(directory, 'tree/big'), Buffer.alloc(100_000, 'b'));
    const cwd = { cwd: directory };
    await server.must([...mine, 'put-artifact', '/artifact', 'tree'], cwd);
    expect((await server.json(['stat', '/artifact', '/artifact/sub/b'])).map((row) => (row as { uid: number }).uid)).toEqual([1000, 1000]);
    await server.must([...mine, 'put', '-r', 'tree', '/merged'], cwd);
    await server.must([...mine, 'cp', '-r', '/artifact', '/copied'], cwd);
    await server.must([...mine, 'get', '/copied', 'back'], cwd);
    expect(readFileSync(join(directory, 'back/sub/c'), 'utf8')).toBe('file sub/c');
    expect((await server.run([...theirs, 'put-artifact', '--replace', '/artifact', 'tree'], cwd)).code).toBe(6);
    expect((await server.run([...theirs, 'rm', '-r', '/artifact'])).code).toBe(6);
    expect((await server.run([...theirs, 'cp', '/artifact/big', '/artifact/sub/mine'])).code).toBe(6);
    await server.must([...theirs, 'cp', '/artifact/big', '/their-copy']);
    await server.must([...mine, 'rm', '-r', '/artifact', '/merged', '/copied']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('a name of a user that is none is a usage error', async () => {
  const { code, stderr } = await server.run(['--as', 'root', 'stat', '/']);
  expect(code).toBe(2);
  expect(stderr).toContain('expected UID[:GID[,GID…]]');
});
