import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemRandom } from '@nokv/types';
import { lockDirectory } from './directory-lock.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-lock-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const lockModule = new URL('../dist/directory-lock.js', import.meta.url).href;

/** A process of its own that takes the lock, says so, and holds it until it is killed. */
function otherProcess(hold: boolean) {
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(lockModule)});
    const random = { bytes: (n) => new Uint8Array(n), float: Math.random };
    try {
      const lock = await lockDirectory(${JSON.stringify(directory)}, random);
      console.log('held');
      ${hold ? 'setInterval(() => {}, 1000);' : 'await new Promise((r) => setTimeout(r, 30)); await lock.release();'}
    } catch (error) {
      console.log(error.code + ' ' + error.details.pid);
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = new Promise<string>((resolve) => child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  return { child, said, exited };
}

describe('the lock of a data directory', () => {
  it('refuses a second holder in the same process, naming the pid', async () => {
    const lock = await lockDirectory(directory, systemRandom);
    await expect(lockDirectory(directory, systemRandom)).rejects.toMatchObject({ code: 'directory-in-use', details: { pid: process.pid } });
    await lock.release();
    await (await lockDirectory(directory, systemRandom)).release();
  });

  it('refuses while another process holds it, and takes over once that was killed', async () => {
    const other = otherProcess(true);
    expect(await other.said).toBe('held');
    await expect(lockDirectory(directory, systemRandom)).rejects.toMatchObject({
      code: 'directory-in-use',
      details: { pid: other.child.pid },
    });
    other.child.kill('SIGKILL');
    await other.exited;
    const lock = await lockDirectory(directory, systemRandom);
    expect(await readdir(directory)).toEqual([`lock-${process.pid}`]);
    await lock.release();
    expect(await readdir(directory)).toEqual([]);
  });

  it('takes over the claim of a process of an earlier boot that had a pid that is alive now', async () => {
    const stale = {
      pid: process.ppid,
      host: (await import('node:os')).hostname(),
      boot: 'an earlier one',
      namespace: '',
      startedTicks: '1',
    };
    await writeFile(join(directory, `lock-${process.ppid}`), JSON.stringify(stale));
    await (await lockDirectory(directory, systemRandom)).release();
  });

  it('refuses what was claimed on another machine, and says which file to remove', async () => {
    const foreign = { pid: 7, host: 'another-machine', boot: 'b', namespace: 'n', startedTicks: '1' };
    await writeFile(join(directory, 'lock-7'), JSON.stringify(foreign));
    await expect(lockDirectory(directory, systemRandom)).rejects.toThrow(/another-machine.*lock-7/);
  });

  it('never has two holders of many that start at once over a stale claim', async () => {
    const dead = otherProcess(true);
    await dead.said;
    dead.child.kill('SIGKILL');
    await dead.exited;
    const others = Array.from({ length: 6 }, () => otherProcess(true));
    const said = await Promise.all(others.map((other) => other.said));
    for (const other of others) other.child.kill('SIGKILL');
    await Promise.all(others.map((other) => other.exited));
    expect(said.filter((each) => each === 'held').length).toBeLessThanOrEqual(1);
    for (const each of said) expect(each).toMatch(/^held$|^directory-in-use \d+$/);
  });
});
