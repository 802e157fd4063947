/** A store of the user's own, as the command meets it: which client speaks to it, what is refused at the door, what the doctor says. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TEST_CERTIFICATE, startS3Double, type S3Double, type S3DoubleOptions } from '@nokv/object/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readMetric } from '../services/server.js';
import { nokv, startCliServer, type Ran } from './cli-runner.js';

const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'hush', HOME: '/nonexistent' };
const BODY = 'x'.repeat(100_000);

let directory: string;
let double: S3Double;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-store-'));
});
afterEach(async () => {
  await double?.stop();
  await rm(directory, { recursive: true, force: true });
});

const start = async (options: S3DoubleOptions = {}): Promise<void> => {
  double = await startS3Double(options);
};
const serve = (object: string): Promise<Ran> =>
  nokv(['serve', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--data', join(directory, 'data'), '--object', object], { env });

describe('--s3-client', () => {
  it(
    'sdk has server and client put and read objects with the SDK; lean, the default, with requests of our own',
    { timeout: 60_000 },
    async () => {
      await start();
      const agents = (): Set<string> =>
        new Set(
          double.seen
            .filter(({ method, url }) => method === 'PUT' || (method === 'GET' && !url.includes('list-type')))
            .map(({ headers }) => (headers['user-agent'] ?? '').split('/')[0] ?? ''),
        );
      const through = async (server: readonly string[], client: Readonly<Record<string, string>>): Promise<void> => {
        double.seen.length = 0;
        await using running = await startCliServer({ data: join(directory, 'data'), flags: ['--object', double.url, ...server], env });
        await running.must(['put', '-', '/f'], { input: BODY, env: { ...env, ...client } });
        expect(await running.must(['cat', '/f'], { env: { ...env, ...client } })).toBe(BODY);
      };
      await through(['--s3-client', 'sdk'], { NOKV_S3_CLIENT: 'sdk' });
      expect(agents()).toEqual(new Set(['aws-sdk-js']));
      await through([], {});
      expect(agents()).toEqual(new Set(['']));
    },
  );

  it('is refused where it is none', async () => {
    const { code, stderr } = await nokv(['status', '--s3-client', 'fast']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--s3-client.*lean.*sdk/);
  });
});

describe('a store behind a certificate of one’s own', () => {
  it('is reached by a server with ca=…, by clients with AWS_CA_BUNDLE, and by others through the server', { timeout: 60_000 }, async () => {
    await start({ tls: TEST_CERTIFICATE });
    const ca = join(directory, 'ours.pem');
    await writeFile(ca, TEST_CERTIFICATE.cert);
    await using server = await startCliServer({ data: join(directory, 'data'), flags: ['--object', `${double.url}&ca=${ca}`], env });
    const HOME = '/nonexistent';
    for (const [path, client, way] of [
      ['/direct', { ...env, AWS_CA_BUNDLE: ca }, 'authorization'],
      ['/signed', { HOME, AWS_CA_BUNDLE: ca }, 'X-Amz-Signature'],
      ['/proxied', { HOME }, 'authorization'],
    ] as const) {
      double.seen.length = 0;
      await server.must(['put', '-', path], { input: BODY, env: client });
      expect(await server.must(['cat', path], { env: client })).toBe(BODY);
      const puts = double.seen.filter(({ method }) => method === 'PUT');
      expect(puts).toHaveLength(1);
      expect(puts[0]?.url.includes('X-Amz-Signature') ? 'X-Amz-Signature' : 'authorization').toBe(way);
    }
    const proxied = await readMetric(server.http, 'nokv_http_request_seconds_count', 'route="/objects/"');
    expect(proxied).toBeGreaterThan(0);
  });
});

describe('a store is refused at the door', () => {
  it.each<[string, string, number, RegExp]>([
    ['with an unknown scheme', 'gs://bucket/p', 2, /expected --object file:\/\/\/dir or s3:\/\/bucket\/prefix, found "gs:/],
    ['with a parameter that is none', 's3://bucket/p?sse=rot13', 2, /sse=rot13 \(one of AES256, aws:kms/],
    ['without a bucket', 's3:///p', 2, /as bucket/],
  ])('%s', async (_what, url, code, message) => {
    await start();
    const ran = await serve(url);
    expect([ran.code, ran.stdout]).toEqual([code, '']);
    expect(ran.stderr).toMatch(message);
  });

  it.each<[string, number, string, number, RegExp]>([
    ['to those who may not', 403, 'AccessDenied', 6, /these keys may not do this/],
    ['for a bucket that is not there', 404, 'NoSuchBucket', 3, /create the bucket or correct its name/],
  ])('%s', async (_what, status, code, exitCode, message) => {
    await start();
    double.inject({ method: 'GET', times: 99, effect: { kind: 'status', status, code } });
    const ran = await serve(double.url);
    expect(ran.code).toBe(exitCode);
    expect(ran.stderr).toMatch(message);
    expect(ran.stderr).not.toContain('hush');
    const looked = await nokv(['doctor', '--object', double.url], { env });
    expect(looked.code).toBe(9);
    expect(looked.stdout).toMatch(/FAIL {2}store .*\n +fix: \S/);
  });

  it('in a region that it is not in is followed once, and named if that does not help', async () => {
    await start({ region: 'eu-west-3' });
    const found = await nokv(['doctor', '--object', `${double.url}&region=us-east-1`], { env });
    expect(found.code).toBe(0);
    expect(found.stdout).toMatch(/PASS {2}store /);
    const header = { 'x-amz-bucket-region': 'ap-south-1' };
    double.inject({ method: 'GET', times: 99, effect: { kind: 'status', status: 301, code: 'PermanentRedirect', headers: header } });
    const ran = await serve(`${double.url}&region=eu-west-3`);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/the bucket is in region ap-south-1/);
  });
});

describe('nokv doctor --object', () => {
  it('names a server that lets several puts of one key win, and exits with 9', { timeout: 60_000 }, async () => {
    await start({ conditions: 'one-at-a-time' });
    const { code, stdout, stderr } = await nokv(['doctor', '--object', double.url], { env });
    expect(code).toBe(9);
    expect(stdout).toMatch(/PASS {2}create-if-absent /);
    expect(stdout).toMatch(/FAIL {2}one-winner .*\d+ were told that they made it\n +so: .*no server starts on it\n +fix: /);
    expect(stdout).toMatch(/FAIL {2}store .*one-winner/);
    expect(stderr).toMatch(/2 of \d+ checks failed/);
    expect(double.objects.size).toBe(0);
    const ran = await serve(double.url);
    expect(ran.code).toBe(9);
    expect(ran.stderr).toMatch(/does not give what nokv needs: one-winner \(/);
  });
});
