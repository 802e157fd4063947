/**
 * Temporary files of puts: their names say which process made them, so that whoever opens the store can remove what
 * crashed processes left without touching a put that is under way in another process.
 *
 * Name: `<machine tag>-<pid>-<start time>-<8 hex of this opening>-<number>`. The tag is a hash of boot id and pid namespace: only a
 * pid of the same tag can be looked up. Files of other tags (another boot, another container) go after a day.
 */
import { createHash } from 'node:crypto';
import { readFile, readdir, readlink, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@nokv/types';
import { isErrno } from './file-errors.js';

const STALE_MS = 24 * 60 * 60 * 1000;

export async function ownTag(): Promise<string> {
  return `${await machineTag()}-${process.pid}-${(await startTime(process.pid)) ?? 0}`;
}

/** Removes leftovers; returns how many. */
export async function sweepLeftovers(directory: string, clock: Clock): Promise<number> {
  const tag = await machineTag();
  let removed = 0;
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!(await isLeftover(name, tag, path, clock))) continue;
    try {
      await unlink(path);
      removed += 1;
    } catch (error) {
      // Gone meanwhile, or another user's in a directory with the sticky bit: theirs to remove.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) throw error;
    }
  }
  return removed;
}

async function isLeftover(name: string, ownMachine: string, path: string, clock: Clock): Promise<boolean> {
  const [machine, pid, started] = name.split('-');
  if (machine === ownMachine && pid !== undefined && started !== undefined) return (await startTime(Number(pid))) !== started;
  try {
    return clock.nowMs() - (await stat(path)).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}

async function machineTag(): Promise<string> {
  const parts = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  return createHash('sha256').update(parts.join('|')).digest('hex').slice(0, 8);
}

/** Field 22 of /proc/<pid>/stat (proc(5)), in clock ticks since boot; undefined when there is no such process. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold spaces and brackets: fields count from the last one.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
