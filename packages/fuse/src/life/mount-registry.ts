/**
 * State files of running mounts: one JSON file per mount in the run directory, written whole and renamed into place,
 * removed at unmount. A file whose process is gone describes a dead mount and is shown as such.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SessionKind } from './mount-options.js';

const FORMAT = 1;

export interface MountRecord {
  readonly directory: string;
  readonly pid: number;
  /** Addresses of the server, as given. */
  readonly server: string;
  readonly root: string;
  readonly readOnly: boolean;
  readonly session: SessionKind;
  readonly startedAt: string;
  readonly logFile?: string;
}

export interface ListedMount extends MountRecord {
  /** False when the process that served it is gone. */
  readonly alive: boolean;
}

/** `/run/nokv-<uid>/mounts` where that can be made, else below the temporary directory. */
export function defaultRunDirectory(uid: number = process.getuid?.() ?? 0): string {
  for (const base of ['/run', tmpdir()]) {
    const directory = join(base, `nokv-${uid}`, 'mounts');
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      return directory;
    } catch {
      // Not ours to write: try the next place.
    }
  }
  return join(tmpdir(), `nokv-${uid}`, 'mounts');
}

export function recordMount(runDirectory: string, record: MountRecord): void {
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const file = recordFile(runDirectory, record.directory);
  writeFileSync(`${file}.new`, JSON.stringify({ format: FORMAT, ...record }));
  renameSync(`${file}.new`, file);
}

/** Removes the record of `directory`, unless another process has taken it over since. */
export function forgetMount(runDirectory: string, directory: string, pid: number): void {
  if (readRecord(recordFile(runDirectory, directory))?.pid === pid) rmSync(recordFile(runDirectory, directory), { force: true });
}

export function findMount(runDirectory: string, directory: string): ListedMount | undefined {
  return listMounts(runDirectory).find((mount) => mount.directory === directory);
}

/** Every mount that left a record, by directory. */
export function listMounts(runDirectory: string = defaultRunDirectory()): ListedMount[] {
  let names: string[];
  try {
    names = readdirSync(runDirectory);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => readRecord(join(runDirectory, name)) ?? [])
    .map((record) => ({ ...record, alive: isAlive(record.pid) }))
    .toSorted((a, b) => (a.directory < b.directory ? -1 : 1));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Killed, but not yet collected by its parent (proc_pid_stat(5): the state follows the name in parentheses). */
function isZombie(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}

/** Path without extension of what belongs to the mount on `directory`. */
export function mountFileBase(runDirectory: string, directory: string): string {
  return join(runDirectory, createHash('sha256').update(directory).digest('hex').slice(0, 24));
}

function recordFile(runDirectory: string, directory: string): string {
  return `${mountFileBase(runDirectory, directory)}.json`;
}

function readRecord(file: string): MountRecord | undefined {
  try {
    const { format, ...record } = JSON.parse(readFileSync(file, 'utf8')) as MountRecord & { format: number };
    return format === FORMAT && typeof record.directory === 'string' && Number.isInteger(record.pid) ? record : undefined;
  } catch {
    return undefined;
  }
}
