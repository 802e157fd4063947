/** Ceph's S3 gateway, a second real server for the long tests: a small cluster of this process on loopback, its objects in memory. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePorts } from './etcd.js';
import { servicesScript, type S3Service } from './s3.js';

const BUCKET = 'nokv-test';
const REGION = 'us-east-1';
const KEYS = { S3_BUCKET: BUCKET, S3_ACCESS_KEY: 'nokvtest', S3_SECRET_KEY: 'nokvtestsecret', S3_REGION: REGION };
const run = promisify(execFile);

export type CephRgw = Pick<S3Service, 'endpoint' | 'bucket' | 'url' | 'env' | 'removeBucket'> & { stop(): Promise<void> };

export async function startCephRgw(): Promise<CephRgw> {
  const script = servicesScript('ceph-rgw.sh');
  await run('bash', [script, 'install'], { timeout: 600_000 });
  const directory = await mkdtemp(join(tmpdir(), 'nokv-ceph-'));
  const [port] = await freePorts(1);
  const child = spawn('bash', [script, 'run', directory, String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...KEYS },
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const endWithUs = (): void => void child.kill('SIGTERM');
  process.once('exit', endWithUs);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    process.removeListener('exit', endWithUs);
    await rm(directory, { recursive: true, force: true });
  };
  const ready = new Promise<boolean>((resolve) =>
    createInterface({ input: child.stdout }).once('line', (line) => resolve(line === 'ready')),
  );
  if (!(await Promise.race([ready, exited.then(() => false)]))) {
    await stop();
    throw new Error(`Ceph's gateway did not start: ${said}`);
  }
  const endpoint = `http://127.0.0.1:${port}`;
  let prefixes = 0;
  return {
    endpoint,
    bucket: BUCKET,
    get url() {
      prefixes += 1;
      return `s3://${BUCKET}/p${prefixes}?endpoint=${endpoint}&region=${REGION}&pathStyle=true`;
    },
    env: { AWS_ACCESS_KEY_ID: KEYS.S3_ACCESS_KEY, AWS_SECRET_ACCESS_KEY: KEYS.S3_SECRET_KEY, AWS_REGION: REGION },
    removeBucket: async () => {
      const env = { ...process.env, CEPH_CONF: join(directory, 'ceph.conf') };
      await run('radosgw-admin', ['bucket', 'rm', '--bucket', BUCKET, '--purge-objects'], { env });
    },
    stop,
  };
}
