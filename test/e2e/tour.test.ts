/**
 * docs/tour.md, run exactly as it is written: its shell blocks, in order, in one bash. What the reader gets by default is
 * chosen here by the environment alone: free ports, and where bodies and ownership live.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startEtcd } from '../services/etcd.js';
import { startS3 } from '../services/s3.js';
import { runBlocks, shellBlocks } from './shell-blocks.js';

const TOUR_TIMEOUT_MS = 280_000;

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
    expect(shellBlocks('tour.md').length).toBeGreaterThan(15);
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
  await runBlocks(shellBlocks('tour.md'), { directory, env, timeoutMs: TOUR_TIMEOUT_MS });
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
