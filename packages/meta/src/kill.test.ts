import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { openLmdbKv } from './lmdb-kv.js';
import { contradictions } from './testing/check-rows.js';
import { TestShard } from './testing/test-shard.js';

const child = new URL('../dist/testing/writing-child.js', import.meta.url).pathname;

test('a process killed with SIGKILL leaves everything that it acknowledged, and nothing half', { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-kill-'));
  try {
    const acknowledged: string[] = [];
    for (let round = 0; round < 5; round++) {
      acknowledged.push(...(await runAndKill(directory, round, 150 + round * 97)));
      const kv = await openLmdbKv({ directory });
      const shard = await TestShard.open(kv, { prefix: `check${round}` });
      expect(contradictions(kv)).toEqual([]);
      for (const line of acknowledged) {
        const [what, path = '', generation] = line.split(' ');
        const moved = `${path}-moved`;
        const now = what === 'moved' || (await shard.stat(path).catch(() => undefined)) === undefined ? moved : path;
        if (what === 'moved') await expect(shard.stat(path)).rejects.toMatchObject({ code: 'not-found' });
        expect(await shard.text(now)).toBe(`body of ${path}`);
        if (generation !== undefined) expect((await shard.stat(now)).generation).toBe(Number(generation));
      }
      await shard.engine.close();
    }
    expect(acknowledged.length).toBeGreaterThan(5 * 150);
  } finally {
    await rm(directory, { recursive: true });
  }
});

/** @returns the acknowledgements that the child printed before it was killed. */
async function runAndKill(directory: string, round: number, lines: number): Promise<string[]> {
  const running = spawn(process.execPath, [child, directory, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const seen: string[] = [];
    for await (const line of createInterface({ input: running.stdout })) {
      seen.push(line);
      if (seen.length === lines) running.kill('SIGKILL');
    }
    if (running.exitCode === null && running.signalCode === null) await once(running, 'exit');
    expect(running.signalCode).toBe('SIGKILL');
    return seen;
  } finally {
    running.kill('SIGKILL');
  }
}
