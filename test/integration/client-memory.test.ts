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
import { createHash, randomBytes } from 'node:crypto';
const [address, total] = [process.argv[2], Number(process.argv[3])];
const chunk = randomBytes(1024 * 1024);
const sent = createHash('sha256');
async function* body() {
  for (let at = 0; at < total; at += chunk.length) {
    chunk.writeUInt32LE(at / chunk.length, 0);
    sent.update(chunk);
    yield chunk;
  }
}
const client = await connect(address);
await client.put('/stream', body());
const received = createHash('sha256');
let size = 0;
for await (const part of (await client.get('/stream')).stream()) {
  received.update(part);
  size += part.length;
}
await client.close();
console.log(JSON.stringify({ size, isEqual: sent.digest('hex') === received.digest('hex'), rssMaxBytes: process.resourceUsage().maxRSS * 1024 }));
`;

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

test('1 GiB streamed in and out takes less than 200 MB', { timeout: 240_000 }, async () => {
  const child = spawn(process.execPath, [program, fixture.server.rpc, String(GIB)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as { readonly size: number; readonly isEqual: boolean; readonly rssMaxBytes: number };
  expect(result).toMatchObject({ size: GIB, isEqual: true });
  expect(result.rssMaxBytes).toBeLessThan(200_000_000);
});
