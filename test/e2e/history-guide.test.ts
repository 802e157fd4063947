/** docs/history.md, run exactly as it is written. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runBlocks, shellBlocks } from './shell-blocks.js';

const TIMEOUT_MS = 120_000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-history-guide-'));
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

describe('the guide to the past', () => {
  it(
    'works as it is written',
    async () => {
      const blocks = shellBlocks('history.md');
      expect(blocks.length).toBeGreaterThan(10);
      await runBlocks(blocks, { directory, env: {}, timeoutMs: TIMEOUT_MS });
    },
    TIMEOUT_MS + 20_000,
  );
});
