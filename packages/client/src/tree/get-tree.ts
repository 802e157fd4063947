/**
 * Restores remote files and directories on this machine.
 *
 * Nothing is written outside the destination: names are checked again, a directory that we descend into is a real one
 * (made here, or found to be no symlink), files are written under a fresh name with O_EXCL and renamed over their
 * destination, so a reader never sees half a file. Modes and times of directories are set last, deepest first.
 */
import { constants } from 'node:fs';
import { chmod, lstat, lutimes, mkdir, open, readdir, rename, symlink, unlink, utimes } from 'node:fs/promises';
import type { At, Attributes, InodeNumber, NodeRef, ReadPlan } from '@nokv/types';
import { NokvError, checkName, formatName, timespecToMs } from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import { fixedMoment } from '../path/moment.js';
import { ProgressMeter } from '../progress-meter.js';
import { transferSignal } from '../transfer-signal.js';
import type { GetTreeOptions, TreeReport } from '../trees.js';
import { childPath } from './local-tree.js';
import { TaskPool } from './task-pool.js';
import { LARGE_FILES_MAX, LARGE_FILE_BYTES_MIN, transferJobs } from './transfer-jobs.js';

/** Entries asked for at once. */
const PAGE_ENTRIES = 2000;
const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;
const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

interface Restore {
  readonly context: ClientContext;
  readonly pool: TaskPool;
  readonly large: TaskPool;
  readonly stop: () => void;
  readonly meter: ProgressMeter;
  readonly replace: boolean;
  /** The moment that is restored, or nothing for now; the same for every read. */
  at: { readonly at?: At };
  readonly counts: { files: number; directories: number; symlinks: number };
  readonly skipped: { path: string; reason: string }[];
}

/** Restores what is below the directory at `from` into `localDirectory`, which is made if absent. */
export async function getTree(context: ClientContext, from: NodeRef, localDirectory: string, options: GetTreeOptions): Promise<TreeReport> {
  const restore = startRestore(context, options);
  try {
    await fixMoment(restore, options);
    return await restoreTree(restore, from, localDirectory);
  } finally {
    restore.stop();
  }
}

/** Restores one file (or symlink target's file) at `localFile`. */
export async function getFile(context: ClientContext, from: NodeRef, localFile: string, options: GetTreeOptions): Promise<TreeReport> {
  const restore = startRestore(context, options);
  try {
    await fixMoment(restore, options);
    return await restoreFile(restore, from, localFile);
  } finally {
    restore.stop();
  }
}

async function fixMoment(restore: Restore, options: GetTreeOptions): Promise<void> {
  const moment = await fixedMoment(restore.context.metadata, options.at, { signal: restore.pool.signal });
  if (moment !== undefined) restore.at = { at: moment };
}

async function restoreTree(restore: Restore, from: NodeRef, localDirectory: string): Promise<TreeReport> {
  const { context } = restore;
  const root = await context.metadata.read('stat', { node: from, ...restore.at }, { signal: restore.pool.signal });
  if (root.type !== 'directory') throw new NokvError('not-directory', `expected a directory to restore, found a ${root.type}`);
  const destination = Buffer.from(localDirectory);
  await openDestination(destination, restore.replace);
  restore.meter.phase('transfer');
  const finished: { readonly path: Buffer; readonly attributes: Attributes }[] = [];
  try {
    const pending: { readonly path: Buffer; readonly attributes: Attributes }[] = [{ path: destination, attributes: root }];
    // Ends with the tree: hard links of directories do not exist and symlinks are not followed.
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      finished.push(directory);
      restore.counts.directories += 1;
      restore.meter.add(1, 0);
      for await (const entry of entriesOf(restore, directory.attributes.ino)) {
        const path = childPath(directory.path, entry.name);
        if (entry.attributes.type === 'directory') {
          await makeDirectory(path);
          pending.push({ path, attributes: entry.attributes });
        } else {
          const isLarge = entry.attributes.type === 'file' && entry.attributes.size >= LARGE_FILE_BYTES_MIN;
          const { path: parent } = directory;
          await (isLarge ? restore.large : restore.pool).add(() => restoreEntry(restore, entry.attributes, parent, path));
        }
      }
    }
  } catch (error) {
    restore.pool.fail(error);
  }
  await restore.large.drain().catch((error: unknown) => restore.pool.fail(error));
  await restore.pool.drain();
  for (const { path, attributes } of finished.toReversed()) {
    await onThisMachine(`set mode and times of ${formatName(path)}`, async () => {
      await chmod(path, attributes.mode);
      await utimes(path, seconds(attributes.atime), seconds(attributes.mtime));
    });
  }
  return finish(restore);
}

async function restoreFile(restore: Restore, from: NodeRef, localFile: string): Promise<TreeReport> {
  const { context } = restore;
  const path = Buffer.from(localFile);
  const existing = await lstat(path).catch(() => undefined);
  if (existing?.isDirectory() === true)
    throw new NokvError('is-directory', `${localFile} is a directory on this machine; name the file in it`);
  if (existing !== undefined && !restore.replace) throw localExists(path);
  const plan = await context.metadata.read('open-read', { node: from, ...restore.at }, { signal: restore.pool.signal });
  restore.meter.phase('transfer', { files: 1, bytes: plan.attributes.size });
  const slash = path.lastIndexOf('/');
  const directory = slash < 0 ? Buffer.from('.') : slash === 0 ? Buffer.from('/') : path.subarray(0, slash);
  await restore.pool.add(() => writeFile(restore, plan, directory, path));
  await restore.pool.drain();
  return finish(restore);
}

function startRestore(context: ClientContext, options: GetTreeOptions): Restore {
  const meter = new ProgressMeter(options.onProgress, context.clock);
  const transfer = transferSignal(context.clock, options);
  meter.phase('scan');
  const pool = new TaskPool(transferJobs(options.jobs), transfer.signal);
  return {
    context,
    pool,
    large: new TaskPool(LARGE_FILES_MAX, pool.signal),
    stop: transfer.stop,
    meter,
    replace: options.replace ?? false,
    at: {},
    counts: { files: 0, directories: 0, symlinks: 0 },
    skipped: [],
  };
}

function finish({ meter, counts, skipped }: Restore): TreeReport {
  meter.phase('done');
  return { ...counts, bytes: meter.bytes, skipped };
}

/** The destination is made, or is an empty directory, or (with `replace`) a directory that is merged into. */
async function openDestination(path: Buffer, replace: boolean): Promise<void> {
  await onThisMachine(`make ${formatName(path)}`, async () => {
    const existing = await lstat(path).catch(() => undefined);
    if (existing === undefined) {
      await mkdir(path, { mode: PRIVATE_DIRECTORY });
    } else if (!existing.isDirectory()) {
      throw new NokvError('not-directory', `${formatName(path)} is no directory on this machine; name another destination`);
    } else if (!replace && (await readdir(path)).length > 0) {
      throw localExists(path);
    }
  });
}

async function* entriesOf({ context, pool, at }: Restore, ino: InodeNumber) {
  let after: Uint8Array | undefined;
  // Ends at the last page; each begins after the last name of the one before.
  for (;;) {
    const args = { node: { ino }, limit: PAGE_ENTRIES, attributes: true, ...at, ...(after === undefined ? {} : { after }) };
    const { entries, more } = await context.metadata.read('list', args, { signal: pool.signal });
    for (const { name, attributes } of entries) {
      checkName(name);
      if (attributes === undefined) throw new NokvError('internal', 'a listing with attributes came without them');
      yield { name, attributes };
    }
    after = entries.at(-1)?.name;
    if (!more || after === undefined) return;
  }
}

/** A directory that is there stays, unless it is a symlink: descending into that could lead outside. */
async function makeDirectory(path: Buffer): Promise<void> {
  await onThisMachine(`make the directory ${formatName(path)}`, async () => {
    try {
      await mkdir(path, { mode: PRIVATE_DIRECTORY });
    } catch (error) {
      const existing = await lstat(path).catch(() => undefined);
      if (existing === undefined) throw error;
      if (!existing.isDirectory()) {
        throw new NokvError('outside-root', `${formatName(path)} is in the way and no directory; remove it or choose another destination`);
      }
      await chmod(path, (existing.mode & 0o7777) | PRIVATE_DIRECTORY);
    }
  });
}

async function restoreEntry(restore: Restore, attributes: Attributes, directory: Buffer, path: Buffer): Promise<void> {
  const { context, pool, skipped, at } = restore;
  const node = { ino: attributes.ino };
  if (attributes.type === 'file') {
    const plan = await context.metadata.read('open-read', { node, ...at }, { signal: pool.signal });
    await writeFile(restore, plan, directory, path);
  } else if (attributes.type === 'symlink') {
    const { target } = await context.metadata.read('readlink', { node, ...at }, { signal: pool.signal });
    await writeSymlink(restore, Buffer.from(target), attributes, directory, path);
  } else {
    skipped.push({ path: formatName(path), reason: `a ${attributes.type} is not restored` });
    restore.meter.add(1, 0);
  }
}

async function writeFile(restore: Restore, plan: ReadPlan, directory: Buffer, path: Buffer): Promise<void> {
  const { context, meter, pool } = restore;
  const { mode, atime, mtime } = plan.attributes;
  const temporary = temporaryPath(context, directory);
  await onThisMachine(`write ${formatName(path)}`, async () => {
    const file = await open(temporary, CREATE_FLAGS, PRIVATE_FILE);
    try {
      try {
        for await (const chunk of handleOf(context, plan).stream({ reuse: true, signal: pool.signal })) {
          await file.writeFile(chunk);
          meter.add(0, chunk.length);
        }
        await file.chmod(mode);
        await file.utimes(seconds(atime), seconds(mtime));
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  });
  restore.counts.files += 1;
  meter.add(1, 0);
}

async function writeSymlink(
  restore: Restore,
  target: Buffer,
  { atime, mtime }: Attributes,
  directory: Buffer,
  path: Buffer,
): Promise<void> {
  const temporary = temporaryPath(restore.context, directory);
  await onThisMachine(`make the symlink ${formatName(path)}`, async () => {
    await symlink(target, temporary);
    try {
      await lutimes(temporary, seconds(atime), seconds(mtime));
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  });
  restore.counts.symlinks += 1;
  restore.meter.add(1, 0);
}

function temporaryPath(context: ClientContext, directory: Buffer): Buffer {
  return childPath(directory, Buffer.from(`.nokv-${Buffer.from(context.random.bytes(8)).toString('hex')}`));
}

function localExists(path: Buffer): NokvError {
  return new NokvError('exists', `${formatName(path)} exists on this machine; choose another destination or ask to replace`);
}

function seconds(time: Attributes['mtime']): number {
  return timespecToMs(time) / 1000;
}

async function onThisMachine<Result>(doing: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    throw localError(error, doing);
  }
}
