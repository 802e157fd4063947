/** `scripts/services/versitygw.sh` as a person uses it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openS3Store } from '@nokv/object';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { servicesScript } from '../services/s3.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nokv-versitygw-'));
});
afterEach(() => {
  script('stop', directory, 'KILL');
  rmSync(directory, { recursive: true });
});

function script(...args: readonly string[]): { status: number | null; lines: Record<string, string>; stderr: string } {
  const { status, stdout, stderr } = spawnSync('bash', [servicesScript('versitygw.sh'), ...args], { encoding: 'utf8', timeout: 600_000 });
  const lines = Object.fromEntries([...stdout.matchAll(/^(S3_\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  return { status, lines, stderr };
}

async function openStore(lines: Readonly<Record<string, string>>) {
  const env = { AWS_ACCESS_KEY_ID: lines['S3_ACCESS_KEY'], AWS_SECRET_ACCESS_KEY: lines['S3_SECRET_KEY'] };
  return openS3Store(`s3://${lines['S3_BUCKET']}?endpoint=${lines['S3_ENDPOINT']}&region=${lines['S3_REGION']}`, { env });
}

test('a started server serves the same objects after it was killed and started again', async () => {
  const first = script('start', directory);
  expect(first.status).toBe(0);
  const before = await openStore(first.lines);
  await before.putIfAbsent('k', Buffer.from('kept'));
  await before.close();
  expect(script('stop', directory, 'KILL').status).toBe(0);
  const second = script('start', directory);
  const after = await openStore(second.lines);
  expect(Buffer.from(await after.get('k')).toString()).toBe('kept');
  await after.close();
}, 600_000);

test('a second server on a directory in use is refused with the pid of the first, which goes on', async () => {
  const { lines } = script('start', directory);
  const second = script('start', directory);
  expect(second.status).toBe(1);
  expect(second.stderr).toContain(`pid ${lines['S3_PID']}`);
  await (await openStore(lines)).close();
}, 600_000);

test('a port that is taken is an error, and nothing stays running', () => {
  const { lines } = script('start', directory);
  const other = join(directory, 'other');
  const port = lines['S3_ENDPOINT']?.split(':').at(-1) ?? '';
  const second = script('start', other, port);
  expect(second.status).toBe(1);
  expect(second.stderr).toMatch(/port/);
  expect(() => readFileSync(join(other, 'pid'))).toThrow();
}, 600_000);

test('stopping twice, and a wrong use', () => {
  expect(script('stop', directory).status).toBe(0);
  expect(script('start').status).toBe(2);
  expect(script('frobnicate').stderr).toContain('versitygw.sh start DIR');
});
