/** `nokv serve` as a process: what it prints, how it ends, who may have its data directory. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePorts, startEtcd } from '../services/etcd.js';
import { startS3 } from '../services/s3.js';
import { NOKV, cleanEnv, jsonLines, nokv, startCliServer } from './cli-runner.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-serve-'));
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

describe('nokv serve', () => {
  it('says on its first line where it serves, and serves there', async () => {
    await using server = await startCliServer();
    checkSchema('serve-ready', server.ready);
    expect(server.ready).toMatchObject({ event: 'ready', pid: server.pid });
    expect((await fetch(`http://${server.http}/readyz`)).status).toBe(200);
    expect((await server.run(['stat', '/'])).code).toBe(0);
  });

  it('tells a person where data lives, the endpoints and what to type next', async () => {
    const data = join(directory, 'data');
    const child = spawn(process.execPath, [NOKV, 'serve', '--data', data, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'], {
      env: cleanEnv(),
    });
    let text = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('Ctrl-C')) resolve();
      });
      child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(text).toContain(data);
    for (const word of [/rpc +127\.0\.0\.1:\d+/, /http +http:\/\/127\.0\.0\.1:\d+/, /nokv put-artifact /, /nokv mount /, /nokv mcp/])
      expect(text).toMatch(word);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('stops at %s with 0, and gives its directory back', async (signal) => {
    const data = join(directory, 'data');
    await using server = await startCliServer({ data });
    await server.must(['put', '-', '/f'], { input: 'kept' });
    expect(await server.end(signal)).toBe(0);
    await using again = await startCliServer({ data });
    expect(await again.must(['cat', '/f'])).toBe('kept');
  });

  it('starts again after kill -9 with all that was acknowledged', async () => {
    const data = join(directory, 'data');
    await using server = await startCliServer({ data });
    for (let i = 0; i < 5; i++) await server.must(['put', '--quiet', '-', `/f${i}`], { input: `body ${i}` });
    await server.end('SIGKILL');
    await using again = await startCliServer({ data });
    for (let i = 0; i < 5; i++) expect(await again.must(['cat', `/f${i}`])).toBe(`body ${i}`);
  });

  it('takes its settings from the environment and from a file', async () => {
    const [rpc, http] = await freePorts(2);
    const data = join(directory, 'by-env');
    await using server = await startCliServer({ data, flags: ['--listen', `127.0.0.1:${rpc}`], env: { NOKV_HTTP: `127.0.0.1:${http}` } });
    expect(server.rpc).toBe(`127.0.0.1:${rpc}`);
    // The flag that the runner gives counts more than the environment.
    expect(server.http).not.toBe(`127.0.0.1:${http}`);
    expect(existsSync(data)).toBe(true);
  });

  it('is found sound by doctor, which fails with a fix where something is missing', async () => {
    await using server = await startCliServer();
    const { code, stdout } = await server.run(['doctor', '--json', '--object', `file://${directory}`]);
    const findings = jsonLines(stdout) as { check: string; result: string; fix: string | null }[];
    for (const finding of findings) checkSchema('doctor', finding);
    const isSound = findings.every(({ result }) => result !== 'FAIL');
    expect(code).toBe(isSound ? 0 : 9);
    expect(findings.filter(({ check }) => ['node', 'server', 'store'].includes(check)).map(({ result }) => result)).toEqual([
      'PASS',
      'PASS',
      'PASS',
    ]);
    const [port] = await freePorts(1);
    const sick = await nokv([
      'doctor',
      '--server',
      `127.0.0.1:${port}`,
      '--control',
      `etcd://127.0.0.1:${port}`,
      '--object',
      'file:///nothing/here',
    ]);
    expect(sick.code).toBe(9);
    for (const check of ['server', 'store', 'control']) expect(sick.stdout).toMatch(new RegExp(`FAIL  ${check} .*\n +fix: \\S`));
    expect(sick.stderr).toMatch(/\d of \d checks failed/);
  });

  it('has a doctor that tries a real bucket and a real etcd', async () => {
    const s3 = await startS3();
    const etcd = await startEtcd();
    try {
      const words = ['doctor', '--json', '--object', s3.url, '--control', `etcd://${etcd.endpoint}`];
      const findings = jsonLines((await nokv(words, { env: s3.env })).stdout) as { check: string; result: string; found: string }[];
      for (const finding of findings) checkSchema('doctor', finding);
      // No server was named, so none is missed; what the store does is told capability by capability.
      expect(findings.map(({ check }) => check)).toEqual([
        'node',
        'control',
        'create-if-absent',
        'one-winner',
        'range-read',
        'list-after-write',
        'latency',
        'checksums',
        'encryption',
        'clock',
        'bulk-delete',
        'store',
      ]);
      for (const name of ['store', 'control', 'one-winner', 'checksums'])
        expect(findings.find(({ check }) => check === name)).toMatchObject({ result: 'PASS' });
      const wrong = jsonLines((await nokv(words, { env: { ...s3.env, AWS_SECRET_ACCESS_KEY: 'wrong' } })).stdout) as typeof findings;
      expect(wrong.find(({ check }) => check === 'store')).toMatchObject({
        result: 'FAIL',
        fix: expect.stringContaining('AWS_ACCESS_KEY_ID') as unknown,
      });
    } finally {
      await etcd.stop();
      await s3.stop();
    }
  }, 120_000);
});
