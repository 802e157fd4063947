/** Restores one remote file on this machine: written beside its place and moved over it when it is whole. */
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { NokvError, formatName, generation, type At, type InodeNumber, type NodeRef } from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import { fixedMoment } from '../path/moment.js';
import { ProgressMeter } from '../progress-meter.js';
import { transferSignal } from '../transfer-signal.js';
import type { GetFileOptions, TreeReport } from '../trees.js';
import { localExists } from './get-tree.js';
import { localCalls } from './local-calls.js';
import { childPath } from './local-tree.js';
import { LocalWriter } from './local-writer.js';
import { RemoteTree } from './remote-tree.js';
import { isOlder, statLocal } from './restore-tree.js';

const NOTHING = { files: 0, directories: 0, symlinks: 0, links: 0, specials: 0, bytes: 0 };

/** Restores one file (or symlink target's file) at `localFile`. */
export async function getFile(context: ClientContext, from: NodeRef, localFile: string, options: GetFileOptions): Promise<TreeReport> {
  const meter = new ProgressMeter(options.onProgress, context.clock);
  const transfer = transferSignal(context.clock, options);
  const { signal } = transfer;
  try {
    meter.phase('scan');
    const moment = await fixedMoment(context.metadata, options.at, { signal });
    const at = moment === undefined ? {} : { at: moment };
    const path = Buffer.from(localFile);
    const found = await statLocal(path);
    await checkPlace(found, localFile);
    if (found !== undefined && options.keep === 'existing') return left(meter, path, 'it is there');
    if (found !== undefined && options.keep === undefined && options.replace !== true) throw localExists(path);
    const chosen = options.generation === undefined ? {} : { generation: generation(options.generation) };
    const plan = await context.metadata.read('open-read', { node: from, ...at, ...chosen }, { signal });
    const { attributes } = plan;
    if (found !== undefined && options.keep === 'newer' && !isOlder(found, attributes)) {
      return left(meter, path, 'it is not older than what would replace it');
    }
    meter.phase('transfer', { files: 1, bytes: attributes.size });
    const preserve = options.preserve ?? false;
    const xattrs = preserve ? await xattrsOf(new RemoteTree(context, signal, moment), context, { ino: attributes.ino, ...at }, signal) : [];
    const owners = preserve && process.geteuid?.() === 0;
    const writer = new LocalWriter({ context, calls: await localCalls(), owners, mayRemoveTrees: false });
    const call = { signal, onBytes: (bytes: number) => meter.add(0, bytes) };
    const body = handleOf(context, plan);
    const node = { attributes, xattrs };
    if (options.resume !== true) await writer.file(parentOf(path), path, node, body, call);
    else await writer.resumedFile(partialOf(path, `${attributes.ino} ${plan.generation} ${plan.digest ?? ''}`), path, node, body, call);
    meter.add(1, 0);
    meter.phase('done');
    const skipped = [...writer.notes].map((reason) => ({ path: formatName(path), reason }));
    return { ...NOTHING, files: 1, bytes: attributes.size, skipped };
  } finally {
    transfer.stop();
  }
}

async function xattrsOf(tree: RemoteTree, context: ClientContext, { ino, ...at }: { ino: InodeNumber; at?: At }, signal: AbortSignal) {
  const card = await context.metadata.read('stat', { node: { ino }, ...at }, { signal });
  return tree.xattrs(card);
}

/** A file is renamed over its place: what is no file would be lost, or is not what was meant. */
async function checkPlace(found: BigIntStats | undefined, localFile: string): Promise<void> {
  if (found === undefined) return;
  const target = found.isSymbolicLink() ? await stat(localFile, { bigint: true }).catch(() => undefined) : found;
  if (target === undefined || target.isFile()) return;
  if (target.isDirectory()) throw new NokvError('is-directory', `${localFile} is a directory on this machine; name the file in it`);
  throw new NokvError(
    'not-regular-file',
    `${localFile} is a device, fifo or socket on this machine; write to it with "nokv cat", or name a file`,
  );
}

function left(meter: ProgressMeter, path: Buffer, reason: string): TreeReport {
  meter.phase('done');
  return { ...NOTHING, skipped: [{ path: formatName(path), reason }] };
}

/** The same for the same body at the same place, so that another process finds it. */
function partialOf(path: Buffer, body: string): Buffer {
  const key = createHash('sha256').update(path).update('\0').update(body).digest('hex').slice(0, 16);
  return childPath(parentOf(path), Buffer.from(`.nokv-part-${key}`));
}

function parentOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? Buffer.from('.') : slash === 0 ? Buffer.from('/') : path.subarray(0, slash);
}
