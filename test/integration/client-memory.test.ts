/** Streams of any size run in bounded memory: measured in a process of its own, by the kernel. */
import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

const PROGRAM_DIRECTORY = fileURLToPath(new URL('../dist/', import.meta.url));
const GIB = 1024 ** 3;

const PROGRAM = `
import { connect } from '@nokv/client';
import { createHash } from 'node:crypto';
const [address, direction, total] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const chunk = Buffer.alloc(1024 * 1024, 'a body without end ');
const hash = createHash('sha256');
let size = 0;
async function* body() {
  for (; size < total; size += chunk.length) {
    chunk.writeUInt32LE(size / chunk.length, 0);
    hash.update(chunk);
    yield chunk;
  }
}
const client = await connect(address);
if (direction === 'put') await client.put('/stream', body());
else {
  for await (const part of (await client.get('/stream')).stream()) {
    hash.update(part);
    size += part.length;
  }
}
await client.close();
console.log(JSON.stringify({ size, digest: hash.digest('hex'), rssMaxBytes: process.resourceUsage().maxRSS * 1024 }));
`;

interface Result {
  readonly size: number;
  readonly digest: string;
  readonly rssMaxBytes: number;
}

let fixture: ClientFixture;
let program: string;

beforeAll(async () => {
  fixture = await startClientFixture();
  await mkdir(PROGRAM_DIRECTORY, { recursive: true });
  program = join(PROGRAM_DIRECTORY, `memory-${process.pid}.mjs`);
  await writeFile(program, PROGRAM);
});

afterAll(async () => {
  await rm(program, { force: true });
  await fixture?.close();
});

async function stream(direction: 'put' | 'get'): Promise<Result> {
  const child = spawn(process.execPath, [program, fixture.server.rpc, direction, String(GIB)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(code).toBe(0);
  return JSON.parse(stdout) as Result;
}

test('1 GiB streamed in, and out again, takes less than 200 MB each', { timeout: 240_000 }, async () => {
  const sent = await stream('put');
  const received = await stream('get');
  expect(received).toMatchObject({ size: GIB, digest: sent.digest });
  expect(sent.rssMaxBytes).toBeLessThan(200_000_000);
  expect(received.rssMaxBytes).toBeLessThan(200_000_000);
});
