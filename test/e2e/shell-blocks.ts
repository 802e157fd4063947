/** Guides whose shell blocks are run as they stand, in order, in one bash, against free ports. */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { freePorts } from '../services/etcd.js';
import { CHECKOUT, cleanEnv } from './cli-runner.js';

/** Every block of a guide below `docs/` that is fenced as `sh`. */
export function shellBlocks(guide: string): string[] {
  const markdown = readFileSync(join(CHECKOUT, 'docs', guide), 'utf8');
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
}

/** `TMPDIR` of the blocks is `directory`, which the caller removes. */
export async function runBlocks(
  blocks: readonly string[],
  options: { readonly directory: string; readonly env: Readonly<Record<string, string>>; readonly timeoutMs: number },
): Promise<void> {
  const { directory, env, timeoutMs } = options;
  const [rpc, http] = await freePorts(2);
  const script = join(directory, 'blocks.sh');
  // The shell tells which block it is in, so that a failure names it.
  const told = blocks.map((block, i) => `echo "--- block ${i + 1}" >&2\n${block}`);
  writeFileSync(script, `set -euo pipefail\n${told.join('\n')}\necho all-blocks-ran\n`);
  const endpoints = { NOKV_LISTEN: `127.0.0.1:${rpc}`, NOKV_HTTP: `127.0.0.1:${http}`, NOKV_SERVER: `127.0.0.1:${rpc}` };
  const ended = await runScript(script, { TMPDIR: directory, ...endpoints, ...env }, timeoutMs);
  expect(ended.code, ended.output.slice(-6000)).toBe(0);
  expect(ended.output).toContain('all-blocks-ran');
}

/** The script and all that it starts form one process group, so that nothing survives a failure. */
async function runScript(
  script: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn('bash', [script], { cwd: CHECKOUT, env: cleanEnv(env), detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  };
  process.once('exit', killGroup);
  const timer = setTimeout(() => {
    output += `\nstopped after ${timeoutMs} ms`;
    killGroup();
  }, timeoutMs);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status) => resolve(status));
    });
    return { code, output };
  } finally {
    clearTimeout(timer);
    killGroup();
    process.off('exit', killGroup);
  }
}
