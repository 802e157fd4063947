/** What `put` and `cat` of a body beyond memory take: 256 MiB in the daily set, 4 GiB in the long one. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NOKV, cleanEnv, startCliServer, type CliServer } from './cli-runner.js';

const LONG = process.env['NOKV_TEST_LONG'] === '1';
const SIZE = LONG ? 4 * 1024 ** 3 : 256 * 1024 ** 2;
const RESIDENT_BYTES_MAX = 200 * 1024 ** 2;
let server: CliServer;
let directory: string;

beforeAll(async () => {
  server = await startCliServer();
  directory = mkdtempSync(join(tmpdir(), 'nokv-put-memory-'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs a pipeline with `$NOKV`, and tells the most memory that the process of `nokv` had resident. */
function run(script: string): { readonly stdout: string; readonly residentBytes: number } {
  const peak = join(directory, 'peak');
  const preload = `data:text/javascript,${encodeURIComponent(
    `import { writeFileSync } from 'node:fs'; process.on('exit', () => writeFileSync(${JSON.stringify(peak)}, String(process.resourceUsage().maxRSS)));`,
  )}`;
  const env = cleanEnv({ ...server.env, HOME: directory, NOKV: `${process.execPath} --import ${preload} ${NOKV}` });
  const { status, stdout, stderr } = spawnSync('bash', ['-c', `set -o pipefail; ${script}`], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script} ended with ${status}: ${stderr}`);
  return { stdout, residentBytes: Number(readFileSync(peak, 'utf8')) * 1024 };
}

it.each([
  ['zeros, which take no block', `head -c ${SIZE} /dev/zero`],
  [
    'bytes that repeat in no block',
    `node -e "const b=Buffer.alloc(1<<20);let n=0;const w=()=>{while(n<${SIZE / 1024 ** 2}){b.writeUInt32LE(++n,0);b.fill(n&255,4);if(!process.stdout.write(Buffer.from(b)))return process.stdout.once('drain',w)}};w()"`,
  ],
])('streams both ways in bounded memory: %s', { timeout: LONG ? 1_200_000 : 120_000 }, (_, source) => {
  const written = run(`${source} | $NOKV put - /z`);
  const read = run(`cmp <(${source}) <($NOKV cat /z)`);
  expect(written.residentBytes).toBeLessThan(RESIDENT_BYTES_MAX);
  expect(read.residentBytes).toBeLessThan(RESIDENT_BYTES_MAX);
  const ofServer = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1];
  expect(Number(ofServer) * 1024).toBeLessThan((LONG ? 150 : 200) * 1024 ** 2);
});
