/** A real S3 server (versitygw) for a benchmark, on loopback over a directory of the run, by the project's own script. */
import { execFileSync, spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { BucketAddress } from '../floors/raw-s3.js';

export interface S3Server extends BucketAddress {
  /** As `--object` takes it. `endpoint`: another way to the same server. */
  url(prefix: string, endpoint?: string): string;
  /** Credentials as the S3 adapter looks them up. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const SCRIPT = fileURLToPath(new URL('../../../../scripts/services/versitygw.sh', import.meta.url));
const BUCKET = 'nokv-bench';
const REGION = 'us-east-1';
const ACCESS_KEY = 'nokvbench';
const SECRET_KEY = 'nokvbenchsecret';
const START_MS = 30_000;

export async function startS3Server(directory: string): Promise<S3Server> {
  execFileSync('bash', [SCRIPT, 'install'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const port = await freePort();
  const child = spawn('bash', [SCRIPT, 'run', directory, String(port)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, S3_BUCKET: BUCKET, S3_REGION: REGION, S3_ACCESS_KEY: ACCESS_KEY, S3_SECRET_KEY: SECRET_KEY },
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const endpoint = `http://127.0.0.1:${port}`;
  const giveUpAt = performance.now() + START_MS;
  while (!(await answers(endpoint))) {
    if (child.exitCode !== null || performance.now() > giveUpAt) throw new Error(`versitygw did not start on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    endpoint,
    bucket: BUCKET,
    region: REGION,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    url: (prefix, by = endpoint) => `s3://${BUCKET}/${prefix}?endpoint=${by}&region=${REGION}&pathStyle=true`,
    env: { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, AWS_REGION: REGION },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await (await fetch(endpoint)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
