/**
 * docs/tour.md, run exactly as it is written: its shell blocks, in order, in one bash. What the reader gets by default is
 * chosen here by the environment alone: free ports, and where bodies and ownership live.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePorts, startEtcd } from '../services/etcd.js';
import { startS3 } from '../services/s3.js';
import { CHECKOUT, cleanEnv } from './cli-runner.js';

const TOUR_TIMEOUT_MS = 280_000;

/** Every block that is fenced as `sh`. */
function shellBlocks(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-tour-'));
});
afterEach(async () => {
  await unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
});

describe('the tour', () => {
  it('consists of shell blocks that this test finds', () => {
    expect(shellBlocks(readFileSync(join(CHECKOUT, 'docs/tour.md'), 'utf8')).length).toBeGreaterThan(15);
  });

  it(
    'works over the file store',
    async () => {
      await takeTour({});
    },
    TOUR_TIMEOUT_MS + 20_000,
  );

  it(
    'works over an S3 server',
    async () => {
      const s3 = await startS3();
      try {
        await takeTour({ ...s3.env, NOKV_OBJECT: s3.urlOf('tour') });
      } finally {
        await s3.stop();
      }
    },
    TOUR_TIMEOUT_MS + 60_000,
  );

  it(
    'works with etcd',
    async () => {
      const etcd = await startEtcd();
      try {
        await takeTour({ NOKV_CONTROL: `etcd://${etcd.endpoint}/tour` });
      } finally {
        await etcd.stop();
      }
    },
    TOUR_TIMEOUT_MS + 30_000,
  );
});

async function takeTour(env: Readonly<Record<string, string>>): Promise<void> {
  await runBlocks(shellBlocks(readFileSync(join(CHECKOUT, 'docs/tour.md'), 'utf8')), env);
}

async function runBlocks(blocks: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const [rpc, http] = await freePorts(2);
  const script = join(directory, 'tour.sh');
  // The shell tells which block it is in, so that a failure names it.
  const told = blocks.map((block, i) => `echo "--- block ${i + 1}" >&2\n${block}`);
  writeFileSync(script, `set -euo pipefail\n${told.join('\n')}\necho all-blocks-ran\n`);
  const ended = await runScript(script, {
    TMPDIR: directory,
    NOKV_LISTEN: `127.0.0.1:${rpc}`,
    NOKV_HTTP: `127.0.0.1:${http}`,
    NOKV_SERVER: `127.0.0.1:${rpc}`,
    ...env,
  });
  expect(ended.code, ended.output.slice(-6000)).toBe(0);
  expect(ended.output).toContain('all-blocks-ran');
}

/** The script and all that it starts form one process group, so that nothing survives a failure. */
async function runScript(
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn('bash', [script], { cwd: CHECKOUT, env: cleanEnv(env), detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  };
  process.once('exit', killGroup);
  const timer = setTimeout(() => {
    output += `\nstopped after ${TOUR_TIMEOUT_MS} ms`;
    killGroup();
  }, TOUR_TIMEOUT_MS);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status) => resolve(status));
    });
    return { code, output };
  } finally {
    clearTimeout(timer);
    killGroup();
    process.off('exit', killGroup);
  }
}

/** Takes away every mount that a failed tour left behind. */
async function unmountBelow(path: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((one) => one.startsWith(`${path}/`))) {
    await new Promise((resolve) => spawn('umount', ['-l', mount], { stdio: 'ignore' }).once('exit', resolve).once('error', resolve));
  }
}
