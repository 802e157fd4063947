/**
 * Restores remote directories on this machine: `getTree` what is not there yet or is to be written over, `exportTree` what differs.
 */
import { mkdir, readdir, stat } from 'node:fs/promises';
import type { NodeCard, NodeRef } from '@nokv/types';
import { NokvError, formatName } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import { fixedMoment } from '../path/moment.js';
import { transferSignal } from '../transfer-signal.js';
import type { ExportOptions, GetTreeOptions, SyncReport, TreeReport } from '../trees.js';
import { PRIVATE_DIRECTORY, onThisMachine } from './local-writer.js';
import { RestoreTree, statLocal, type RestoreOptions } from './restore-tree.js';

/** Restores what is below the directory at `from` into `localDirectory`, which is made if absent. */
export async function getTree(context: ClientContext, from: NodeRef, localDirectory: string, options: GetTreeOptions): Promise<TreeReport> {
  const { files, directories, symlinks, links, specials, bytes, skipped } = await restored(
    context,
    from,
    options,
    async (card, restore, signal) => {
      const path = Buffer.from(localDirectory);
      const found = await openDestination(path, options.replace === true || options.keep !== undefined);
      const tree = await RestoreTree.start(
        context,
        { ...restore, ...treeOptions(options), existing: 'overwrite', specialFiles: 'skip' },
        signal,
      );
      return tree.restore(card, path, found);
    },
  );
  return { files, directories, symlinks, links, specials, bytes, skipped };
}

/** Makes `localDirectory` what the directory at `from` is, as far as the options go. */
export async function exportTree(
  context: ClientContext,
  from: NodeRef,
  localDirectory: string,
  options: ExportOptions,
): Promise<SyncReport> {
  return restored(context, from, options, async (card, restore, signal) => {
    const path = Buffer.from(localDirectory);
    const found = await exportDestination(path, localDirectory, options.dryRun ?? false);
    const settings: RestoreOptions = {
      ...options,
      ...restore,
      existing: 'update',
      owners: options.owners ?? process.geteuid?.() === 0,
      specialFiles: 'keep',
      collectsFailures: true,
    };
    return (await RestoreTree.start(context, settings, signal)).restore(card, path, found);
  });
}

function treeOptions({ include, exclude, keep, preserve }: GetTreeOptions) {
  return { include, exclude, keep, owners: preserve === true && process.geteuid?.() === 0 };
}

async function restored(
  context: ClientContext,
  from: NodeRef,
  options: GetTreeOptions | ExportOptions,
  restore: (
    card: NodeCard,
    options: Omit<RestoreOptions, 'existing' | 'owners' | 'specialFiles'>,
    signal: AbortSignal,
  ) => Promise<SyncReport>,
): Promise<SyncReport> {
  const transfer = transferSignal(context.clock, options);
  const { signal } = transfer;
  try {
    const at = await fixedMoment(context.metadata, options.at, { signal });
    const card = await context.metadata.read('stat', { node: from, ...(at === undefined ? {} : { at }) }, { signal });
    if (card.type !== 'directory') throw new NokvError('not-directory', `expected a directory to restore, found a ${card.type}`);
    const { jobs, onProgress } = options;
    return await restore(card, { jobs, onProgress, at }, signal);
  } finally {
    transfer.stop();
  }
}

/** The destination is made, or is an empty directory, or (with `replace`) a directory that is merged into. */
async function openDestination(path: Buffer, replace: boolean) {
  return onThisMachine(`make ${formatName(path)}`, async () => {
    const existing = await statLocal(path);
    if (existing === undefined) {
      await mkdir(path, { mode: PRIVATE_DIRECTORY });
    } else if (!existing.isDirectory()) {
      throw new NokvError('not-directory', `${formatName(path)} is no directory on this machine; name another destination`);
    } else if (!replace && (await readdir(path)).length > 0) {
      throw localExists(path);
    }
    return existing;
  });
}

/** A directory, or a symlink that names one; its parents are made as well. */
async function exportDestination(path: Buffer, text: string, dryRun: boolean) {
  return onThisMachine(`make ${text}`, async () => {
    const existing = await stat(path, { bigint: true }).catch((error: unknown) => {
      const translated = localError(error, `stat ${text}`);
      if (translated.code !== 'not-found') throw translated;
      return undefined;
    });
    if (existing === undefined) {
      if (!dryRun) await mkdir(path, { recursive: true, mode: PRIVATE_DIRECTORY });
    } else if (!existing.isDirectory()) {
      throw new NokvError('not-directory', `${text} is no directory on this machine; name another destination`);
    }
    return existing;
  });
}

export function localExists(path: Buffer): NokvError {
  return new NokvError('exists', `${formatName(path)} exists on this machine; choose another destination or ask to replace`);
}
