/**
 * Sends what lies below a local directory into a remote one: directories first, small bodies inline, medium ones packed
 * into shared blocks, large ones by themselves, many at once.
 *
 * Everything is made by inode and name below the directory's own inode, so a rename of the destination meanwhile
 * misplaces nothing. Every operation is acknowledged as durable: a server that restarts in between loses none of them.
 */
import { readlink } from 'node:fs/promises';
import type { InodeNumber } from '@nokv/types';
import { NokvError, formatName, isNokvError } from '@nokv/types';
import { stageBody, stageBytes } from '../body/stage-body.js';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import { publishBody } from '../path/publish-body.js';
import { ProgressMeter } from '../progress-meter.js';
import type { PutTreeOptions, TreeReport } from '../trees.js';
import { scanLocal, walkLocal, type LocalEntry } from './local-tree.js';
import { PackedFiles } from './packed-files.js';
import { readLocalFile } from './read-local-file.js';
import { TaskPool } from './task-pool.js';
import { LARGE_FILES_MAX, LARGE_FILE_BYTES_MIN, transferJobs } from './transfer-jobs.js';

/** Larger files get uploads of their own. */
const PACKED_FILE_BYTES_MAX = LARGE_FILE_BYTES_MIN - 1;
/** The sender makes entries in every directory; modes that forbid that are set last. */
export const OWNER_WRITE = 0o700;

export interface Sending {
  readonly context: ClientContext;
  readonly options: PutTreeOptions;
  readonly pool: TaskPool;
  readonly large: TaskPool;
  readonly packed: PackedFiles;
  readonly meter: ProgressMeter;
  /** `stage`: the tree is ours alone; `merge`: other entries may be there. */
  readonly mode: 'stage' | 'merge';
  readonly signal: AbortSignal;
  readonly inlineBytesMax: number;
  readonly directories: Map<LocalEntry, Promise<InodeNumber>>;
  readonly counts: { files: number; directories: number; symlinks: number };
  readonly skipped: { path: string; reason: string }[];
}

export async function startSending(
  context: ClientContext,
  options: PutTreeOptions,
  mode: Sending['mode'],
  signal: AbortSignal,
): Promise<Sending> {
  const access = await context.access({ signal });
  const pool = new TaskPool(transferJobs(options.jobs), signal);
  return {
    context,
    options,
    pool,
    large: new TaskPool(LARGE_FILES_MAX, pool.signal),
    packed: new PackedFiles({ context, pool, access, target: 'packed files of a tree' }),
    meter: new ProgressMeter(options.onProgress, context.clock),
    mode,
    signal,
    inlineBytesMax: access.inlineBytesMax,
    directories: new Map(),
    counts: { files: 0, directories: 0, symlinks: 0 },
    skipped: [],
  };
}

export function reportOf({ meter, counts, skipped }: Sending): TreeReport {
  meter.phase('done');
  return { ...counts, bytes: meter.bytes, skipped };
}

export async function sendBelow(sending: Sending, root: LocalEntry, ino: InodeNumber): Promise<void> {
  const { pool, large, packed, meter, directories, options, counts } = sending;
  meter.phase('scan');
  const totals = await scanLocal(root, { sizes: meter.isHeard, signal: pool.signal });
  if (totals.special.length > 0 && options.specialFiles !== 'skip') throw specialFiles(totals.special);
  meter.phase('transfer', { files: totals.entries, bytes: totals.bytes });
  directories.set(root, Promise.resolve(ino));
  counts.directories += 1;
  meter.add(1, 0);
  try {
    for await (const entry of walkLocal(root, pool.signal)) {
      pool.throwIfFailed();
      await sendEntry(sending, entry);
    }
    await packed.flush();
  } catch (error) {
    pool.fail(error);
  }
  await large.drain().catch((error: unknown) => pool.fail(error));
  await packed.close();
  await pool.drain();
  await finishDirectories(sending);
}

/** Resolves as soon as the entry is under way: the walk is held back only by full pools. */
async function sendEntry(sending: Sending, entry: LocalEntry): Promise<void> {
  const { pool, large, packed, directories, skipped, meter } = sending;
  switch (entry.kind) {
    case 'directory': {
      let made: Promise<InodeNumber> | undefined;
      await pool.add(async () => {
        made = makeDirectory(sending, entry);
        await made;
      });
      if (made === undefined) throw new NokvError('internal', 'a task did not start');
      directories.set(entry, made);
      // The pool reports a failure; those who wait for this directory meet it too.
      made.catch(() => undefined);
      return;
    }
    case 'symlink':
      return pool.add(() => sendSymlink(sending, entry));
    case 'file':
      if (entry.size > PACKED_FILE_BYTES_MAX) return large.add(() => sendLarge(sending, entry));
      if (entry.size <= sending.inlineBytesMax) return pool.add(() => sendSmall(sending, entry));
      {
        // Read here, one after the other: what waits in memory for its block to fill is bounded by the packer.
        const bytes = await readLocalFile(entry, PACKED_FILE_BYTES_MAX);
        if (bytes === undefined) return large.add(() => sendLarge(sending, entry));
        return packed.add(bytes, (staged) => publishEntry(sending, entry, staged, bytes.length));
      }
    case 'special':
      if (sending.options.specialFiles !== 'skip') throw specialFiles([formatName(entry.path)]);
      skipped.push({ path: formatName(entry.path), reason: 'neither a file, a directory nor a symlink' });
      meter.add(1, 0);
  }
}

async function makeDirectory(sending: Sending, entry: LocalEntry): Promise<InodeNumber> {
  const { context, options, counts, meter, mode, pool } = sending;
  const at = await placeOf(sending, entry);
  const args = { entry: at, mode: entry.mode | OWNER_WRITE, parents: mode === 'merge', ...(options.owner ?? context.owner) };
  const { result } = await context.metadata.mutate('mkdir', args, { signal: pool.signal });
  counts.directories += 1;
  meter.add(1, 0);
  return result.attributes.ino;
}

async function sendSymlink(sending: Sending, entry: LocalEntry): Promise<void> {
  const { context, options, counts, meter, mode, pool } = sending;
  const call = { signal: pool.signal };
  const target = await readTarget(entry);
  const at = await placeOf(sending, entry);
  const args = { entry: at, target, ...(options.owner ?? context.owner) };
  try {
    await context.metadata.mutate('symlink', args, call);
  } catch (error) {
    if (mode === 'stage' || !isNokvError(error, 'exists')) throw error;
    await context.metadata.mutate('unlink', { entry: at }, call);
    await context.metadata.mutate('symlink', args, call);
  }
  counts.symlinks += 1;
  meter.add(1, 0);
}

async function readTarget(entry: LocalEntry): Promise<Uint8Array> {
  try {
    return await readlink(entry.path, { encoding: 'buffer' });
  } catch (error) {
    throw localError(error, `read the symlink ${formatName(entry.path)}`);
  }
}

async function sendSmall(sending: Sending, entry: LocalEntry): Promise<void> {
  const bytes = await readLocalFile(entry, sending.inlineBytesMax);
  if (bytes === undefined) return sendLarge(sending, entry);
  await publishEntry(sending, entry, stageBytes(bytes), bytes.length);
}

async function sendLarge(sending: Sending, entry: LocalEntry): Promise<void> {
  const { context, pool, meter } = sending;
  let seen = 0;
  const staged = await stageBody(
    context,
    { file: entry.path },
    {
      signal: pool.signal,
      target: formatName(entry.path),
      onProgress: ({ bytes }) => {
        meter.add(0, bytes - seen);
        seen = bytes;
      },
    },
  );
  await publishEntry(sending, entry, staged, staged.size - seen);
}

async function publishEntry(sending: Sending, entry: LocalEntry, staged: Parameters<typeof publishBody>[2], bytes: number): Promise<void> {
  const { context, options, counts, meter, mode, pool } = sending;
  const at = await placeOf(sending, entry);
  await publishBody(context, at, staged, {
    signal: pool.signal,
    mode: entry.mode,
    mtime: entry.mtime,
    producer: options.producer,
    owner: options.owner,
    ...(mode === 'stage' ? { ifGeneration: 0 } : {}),
  });
  counts.files += 1;
  meter.add(1, bytes);
}

/** Times of directories come last: every entry made in one moves them. */
async function finishDirectories(sending: Sending): Promise<void> {
  const { context, directories, options, mode, signal } = sending;
  const pool = new TaskPool(transferJobs(options.jobs), signal);
  for (const [entry, made] of directories) {
    if (mode === 'merge' && entry.parent === undefined) continue;
    const args = {
      node: { ino: await made },
      mtime: entry.mtime,
      ...((entry.mode & OWNER_WRITE) === OWNER_WRITE ? {} : { mode: entry.mode }),
    };
    await pool.add(async () => {
      await context.metadata.mutate('setattr', args, { signal: pool.signal });
    });
  }
  await pool.drain();
}

async function placeOf({ directories }: Sending, entry: LocalEntry): Promise<{ readonly parent: InodeNumber; readonly name: Uint8Array }> {
  const parent = entry.parent === undefined ? undefined : directories.get(entry.parent);
  if (parent === undefined) throw new NokvError('internal', 'an entry was met before its directory');
  return { parent: await parent, name: entry.name };
}

function specialFiles(paths: readonly string[]): NokvError {
  const others = paths.length > 1 ? ` and ${paths.length - 1} more` : '';
  return new NokvError(
    'not-regular-file',
    `${paths[0]}${others}: neither file, directory nor symlink; remove it or ask to skip special files`,
  );
}
