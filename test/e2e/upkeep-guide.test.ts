/** docs/upkeep.md, run exactly as it is written. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runBlocks, shellBlocks } from './shell-blocks.js';

const TIMEOUT_MS = 120_000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-upkeep-guide-'));
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

it('the guide to upkeep works as it is written', { timeout: TIMEOUT_MS + 20_000 }, async () => {
  const blocks = shellBlocks('upkeep.md');
  expect(blocks.length).toBeGreaterThan(6);
  await runBlocks(blocks, { directory, env: {}, timeoutMs: TIMEOUT_MS });
});
