/** `nokv fsck`, `stats` and `gc` as an operator runs them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nokv/client';
import { runCli } from '@nokv/cli';
import { capturedIo, checkSchema } from '@nokv/cli/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NOKV, cleanEnv, startCliServer, type CliServer } from './cli-runner.js';

let directory: string;
let server: CliServer;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-upkeep-'));
  server = await startCliServer({ data: join(directory, 'data') });
  await server.must(['mkdir', '-p', '/runs/7']);
  await server.must(['put', '-', '/runs/7/small'], { input: 'inline' });
  await server.must(['put', '-', '/runs/7/big'], { input: 'x'.repeat(200_000) });
});
afterAll(async () => {
  await server?.end('SIGTERM');
  await rm(directory, { recursive: true, force: true });
});

async function blockFile(): Promise<string> {
  const entries = await readdir(join(directory, 'data'), { recursive: true, withFileTypes: true });
  const found = entries.find((entry) => entry.isFile() && /\/blocks\/[0-9a-f]{2}\/[0-9a-f]{32}$/.test(entry.parentPath));
  if (found === undefined) throw new Error('no block was stored');
  return join(found.parentPath, found.name);
}

describe('nokv fsck', () => {
  it('is silent on a sound namespace, tells how far it is with --json, and ends with 0', async () => {
    const sound = await server.run(['fsck', '--checksums']);
    expect({ code: sound.code, stdout: sound.stdout }).toEqual({ code: 0, stdout: '' });
    expect(sound.stderr).toMatch(/^\d+ rows looked at, 0 findings, 0 mended\n$/);
    const lines = await server.json(['fsck']);
    for (const line of lines) checkSchema('fsck', line);
    expect(lines[0]).toMatchObject({ event: 'progress', pass: 'inodes' });
    expect(lines.at(-1)).toMatchObject({ event: 'done', findings: 0 });
  });

  it('draws a line on a terminal, and takes it away before it says how it went', async () => {
    const io = capturedIo({ env: cleanEnv(server.env), stderrIsTerminal: true });
    expect(await runCli(['fsck'], io)).toBe(0);
    const [before, ...lines] = io.err().split('\r\u001b[K');
    expect(before).toBe('');
    expect(lines[0]).toMatch(/^fsck \[[#-]{24}\] +\d+% {2}inodes {2}\d+ rows$/);
    expect(lines.at(-1)).toMatch(/^\d+ rows looked at, 0 findings, 0 mended\n$/);
    const quiet = capturedIo({ env: cleanEnv(server.env), stderrIsTerminal: true });
    expect(await runCli(['fsck', '--progress', 'never'], quiet)).toBe(0);
    expect(quiet.err()).toMatch(/^\d+ rows looked at/);
  });

  it('goes on from a cursor, and refuses one that is none', async () => {
    const lines = await server.json(['fsck', '--resume', 'extents']);
    expect(lines[0]).toMatchObject({ event: 'progress', pass: 'extents' });
    const refused = await server.run(['fsck', '--resume', 'somewhere']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('expected the cursor that an earlier check printed');
    expect((await server.run(['fsck', '--drop'])).code).toBe(2);
  });

  it('names a block that is gone, with the path of its file, and ends with 10', async () => {
    await rm(await blockFile());
    const broken = await server.run(['fsck']);
    expect(broken.code).toBe(10);
    expect(broken.stdout).toMatch(
      /^error {2}block-missing {2}as it is {2}object blocks\/\S+ \(\/runs\/7\/big\): expected a block, .*, found none\n$/,
    );
    expect(broken.stderr).toContain('1 finding is left');
    const json = await server.run(['fsck', '--repair', '--json']);
    expect(json.code).toBe(10);
    const findings = json.stdout.split('\n').filter((line) => line.includes('"finding"'));
    for (const line of findings) checkSchema('fsck', JSON.parse(line));
    expect(JSON.parse(findings[0] as string)).toMatchObject({ class: 'block-missing', path: '/runs/7/big', repair: 'none' });
    expect(JSON.parse(json.stderr)).toMatchObject({ code: 'corrupt', exitCode: 10, details: { left: 1 } });
  });
});

describe('nokv stats', () => {
  it('shows what the shard holds, with the rows of its families when asked', async () => {
    const [figures] = await server.json(['stats', '--rows']);
    checkSchema('stats', figures);
    expect(figures).toMatchObject({ shard: 0, queued: 0 });
    expect((figures as { readonly inodes: number }).inodes).toBeGreaterThanOrEqual(4);
    const text = await server.must(['stats', '--rows']);
    expect(text).toMatch(/^inodes +\d+, \d+ in the trash$/m);
    expect(text).toMatch(/^rows: inode +\d+$/m);
    expect(await server.must(['stats'])).not.toContain('rows: ');
  });
});

describe('nokv gc', () => {
  it('says what waits and why without touching it, and does what is due', async () => {
    await server.must(['put', '-', '/runs/7/small'], { input: 'second' });
    const [dry] = await server.json(['gc', '--dry-run']);
    checkSchema('gc', dry);
    expect(dry).toMatchObject({ slices: 0, blocksRemoved: 0, isUnfinished: false });
    const text = await server.must(['gc', '--dry-run']);
    expect(text).toMatch(
      /^waiting {2}\d{4}-\d\d-\d\dT\S+ {2}6 B {2}generation \d+ of inode \d+ {2,}it was superseded; its retention goes on$/m,
    );
    const [run] = await server.json(['gc', '--limit', '1']);
    checkSchema('gc', run);
    expect((run as { readonly slices: number }).slices).toBeGreaterThan(0);
    expect((run as { readonly rows: unknown[] }).rows.length).toBe(1);
    expect((await server.run(['gc', '--limit', '0'])).code).toBe(2);
  });
});

describe('nokv fsck of many rows', () => {
  it('stopped by a signal, says where to go on', { timeout: 60_000 }, async () => {
    const client = await connect({ address: server.rpc });
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => client.put(`/many/${round}/${i}`, 'x', { parents: true })));
    }
    const running = spawn(process.execPath, [NOKV, 'fsck', '--json'], { env: cleanEnv(server.env) });
    let said = '';
    running.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    // The first line is out long before the last of thousands of rows.
    running.stdout.once('data', () => running.kill('SIGINT'));
    const [code] = (await once(running, 'close')) as [number];
    expect(code).toBe(130);
    const cursor = /^go on with: nokv fsck --resume (\S+)$/m.exec(said)?.[1] ?? 'none';
    const resumed = await server.run(['fsck', '--resume', cursor, '--json']);
    // The block that was taken away above is still missing.
    expect(resumed.code).toBe(10);
    expect(JSON.parse(resumed.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ event: 'done', findings: 1 });
    await client.removeTree('/many');
    await client.close();
  });
});
