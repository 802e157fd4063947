/**
 * A real S3 server (versitygw) for one test file: a child of this process on a free loopback port over a fresh directory. It ends with the test process, however that ends.
 */
import { spawn, execFile, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface S3Service {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** `s3://bucket/<prefix>?endpoint=…` as `--object` takes it; a fresh prefix with every call. */
  readonly url: string;
  urlOf(prefix: string): string;
  /** What the S3 adapter reads its credentials from. */
  readonly env: Readonly<Record<string, string>>;
  /** Ends the server and removes its objects; with `'keep'` it only ends, as in a crash, and `restart` brings it back. */
  stop(how?: 'remove' | 'keep'): Promise<void>;
  /** Takes the bucket away with all that is in it. */
  removeBucket(): Promise<void>;
  /** Starts it again on the same port over the same objects. */
  restart(): Promise<void>;
}

const BUCKET = 'nokv-test';
const REGION = 'us-east-1';
const ACCESS_KEY = 'nokvtest';
const SECRET_KEY = 'nokvtestsecret';

export async function startS3(): Promise<S3Service> {
  const script = servicesScript('versitygw.sh');
  await promisify(execFile)('bash', [script, 'install'], { timeout: 600_000 });
  const directory = await mkdtemp(join(tmpdir(), 'nokv-s3-'));
  let port = 0;
  let child: ChildProcess | undefined;
  try {
    // Another process may take the port between looking and binding.
    for (let attempt = 0; child === undefined; attempt += 1) {
      port = await freePort();
      child = await launch(script, directory, port).catch((error: unknown) => {
        if (attempt >= 4) throw error;
        return undefined;
      });
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  const endpoint = `http://127.0.0.1:${port}`;
  const urlOf = (prefix: string): string =>
    `s3://${BUCKET}${prefix === '' ? '' : `/${prefix}`}?endpoint=${endpoint}&region=${REGION}&pathStyle=true`;
  let prefixes = 0;
  return {
    endpoint,
    bucket: BUCKET,
    region: REGION,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    get url() {
      prefixes += 1;
      return urlOf(`p${prefixes}`);
    },
    urlOf,
    env: { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, AWS_REGION: REGION },
    stop: async (how = 'remove') => {
      if (child !== undefined) await end(child, how === 'keep' ? 'SIGKILL' : 'SIGTERM');
      child = undefined;
      if (how === 'remove') await rm(directory, { recursive: true, force: true });
    },
    removeBucket: () => rm(join(directory, 'data', BUCKET), { recursive: true, force: true }),
    restart: async () => {
      if (child !== undefined) await end(child, 'SIGTERM');
      child = await launch(script, directory, port);
    },
  };
}

/** Tests run from `test/` and from `test/dist/`: the script lies above both. */
export function servicesScript(name: string): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at)) {
    const path = join(at, 'scripts/services', name);
    if (existsSync(path)) return path;
  }
  throw new Error(`expected scripts/services/${name} above ${import.meta.url}`);
}

async function launch(script: string, directory: string, port: number): Promise<ChildProcess> {
  const child = spawn('bash', [script, 'run', directory, String(port)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, S3_BUCKET: BUCKET, S3_REGION: REGION, S3_ACCESS_KEY: ACCESS_KEY, S3_SECRET_KEY: SECRET_KEY },
  });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4000)));
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    if (await answers(port)) {
      if (child.exitCode === null && child.signalCode === null) return child;
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await end(child, 'SIGKILL');
  throw new Error(`versitygw did not start on port ${port}: ${log}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill(signal);
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
