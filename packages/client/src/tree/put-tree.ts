/**
 * Sends a local directory.
 *
 * `putTree` builds it in a staging directory that no path reaches and moves it into place in one commit: readers see
 * all of it or none. When it fails, what was staged stays for the server's sweep; nothing is deleted here.
 * `putInto` creates entry by entry at the destination itself, and `importTree` does that only with what differs.
 */
import type { EntryRef, InodeNumber, NodeCard, NodeRef, RequestId } from '@nokv/types';
import { NokvError, UPLOAD_TTL_MS_MAX, isNokvError, splitPath } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import { derivedRequestId } from '../path/publish-body.js';
import { storageBelow } from '../path/storage-settings.js';
import { transferSignal } from '../transfer-signal.js';
import type { ImportOptions, PutTreeOptions, SyncReport, TreeReport } from '../trees.js';
import { localCalls } from './local-calls.js';
import { localRoot, type LocalEntry } from './local-tree.js';
import { SendTree } from './send-tree.js';
import { OWNER_WRITE } from './tree-writer.js';

export async function putTree(
  context: ClientContext,
  localDirectory: string,
  to: EntryRef & NodeRef,
  options: PutTreeOptions,
): Promise<TreeReport> {
  const requestId = options.requestId ?? context.requestIds.draw();
  const owner = options.owner ?? context.owner;
  const transfer = transferSignal(context.clock, options);
  try {
    const call = { signal: transfer.signal };
    const root = await openLocalDirectory(localDirectory);
    const into = await openStaging(context, root, owner, options.requestId, call);
    if (into.isPublished !== true && options.replace !== true) await refuseExisting(context, to, call);
    const existing = into.card === undefined ? ('fresh' as const) : ('update' as const);
    // What is gone here since the earlier call is taken out of what that one staged.
    const send = await SendTree.start(
      context,
      { ...(await sendOptions(context, to, options, call)), owner, existing, chown: true, delete: true },
      transfer.signal,
    );
    if (into.isPublished !== true) await send.send(root, into);
    send.meter.phase('publish');
    const { version } = await context.metadata.mutate(
      'publish-tree',
      { root: into.ino, to, replace: options.replace ?? false, parents: options.parents ?? true, ...owner },
      { ...call, requestId },
    );
    return { ...treeReport(send.report()), version, requestId };
  } finally {
    transfer.stop();
  }
}

export async function putInto(
  context: ClientContext,
  localDirectory: string,
  to: EntryRef & NodeRef,
  options: PutTreeOptions,
): Promise<TreeReport> {
  const owner = options.owner ?? context.owner;
  const transfer = transferSignal(context.clock, options);
  try {
    const root = await openLocalDirectory(localDirectory);
    const send = await SendTree.start(
      context,
      { ...(await sendOptions(context, to, options, transfer)), owner, existing: 'overwrite', chown: false },
      transfer.signal,
    );
    await send.send(
      root,
      await openDestination(context, to, { mode: root.mode, owner, parents: options.parents ?? true }, transfer.signal),
    );
    return treeReport(send.report());
  } finally {
    transfer.stop();
  }
}

export async function importTree(
  context: ClientContext,
  localDirectory: string,
  to: EntryRef & NodeRef,
  options: ImportOptions,
): Promise<SyncReport> {
  const transfer = transferSignal(context.clock, options);
  try {
    const root = await openLocalDirectory(localDirectory);
    // Whoever acts for somebody else, or was told an owner, does not hand out files to others.
    const owner = options.owner ?? (keepsOwners(context) ? undefined : context.owner);
    const send = await SendTree.start(
      context,
      {
        ...options,
        compress: await compressOf(context, to, options, transfer),
        owner,
        existing: 'update',
        chown: options.owner !== undefined || owner === undefined,
        specialFiles: options.specialFiles ?? 'keep',
        collectsFailures: true,
      },
      transfer.signal,
    );
    if ((await localCalls()) === undefined) send.skip('.', 'extended attributes are not read: the optional package koffi is not there');
    const made = { mode: root.mode, owner: owner ?? { uid: root.uid, gid: root.gid }, parents: true, dryRun: options.dryRun };
    await send.send(root, await openDestination(context, to, made, transfer.signal));
    return send.report();
  } finally {
    transfer.stop();
  }
}

/**
 * The directory that the tree is staged in. Under the caller's own id it is asked for again by that id, so that a repeat finds what the
 * earlier call sent; nobody else names that id.
 */
async function openStaging(
  context: ClientContext,
  root: LocalEntry,
  owner: ClientContext['owner'],
  requestId: RequestId | undefined,
  call: { readonly signal: AbortSignal },
): Promise<{ readonly ino: InodeNumber; readonly card?: NodeCard; readonly isPublished?: boolean }> {
  const args = { mode: root.mode | OWNER_WRITE, ttlMs: UPLOAD_TTL_MS_MAX, ...owner };
  const id = requestId === undefined ? undefined : derivedRequestId(requestId, 't');
  const { result } = await context.metadata.mutate('begin-tree', args, { ...call, requestId: id });
  const ino = result.root;
  if (id === undefined) return { ino };
  const card = await statOf(context, { ino }, call.signal);
  // Published by the earlier call, and perhaps removed since: that commit is asked for again, or says that the tree was swept.
  if (card === undefined || (await hasPath(context, ino, call))) return { ino, isPublished: true };
  return card.children === 0 ? { ino } : { ino, card };
}

async function hasPath(context: ClientContext, ino: InodeNumber, call: { readonly signal: AbortSignal }): Promise<boolean> {
  try {
    await context.metadata.read('path-of', { ino }, call);
    return true;
  } catch (error) {
    if (isNokvError(error, 'not-found')) return false;
    throw error;
  }
}

async function sendOptions(context: ClientContext, to: NodeRef, options: PutTreeOptions, { signal }: CallOptions) {
  return {
    ...options,
    specialFiles: options.specialFiles ?? ('refuse' as const),
    compress: await compressOf(context, to, options, { signal }),
  };
}

/** What the caller says, else what the destination says, for all of the tree. */
async function compressOf(
  context: ClientContext,
  to: NodeRef,
  { compress }: Pick<PutTreeOptions, 'compress'>,
  call: CallOptions,
): Promise<PutTreeOptions['compress']> {
  if (compress !== undefined || !('path' in to)) return compress;
  return (await storageBelow(context, splitPath(to.path), call)).compress;
}

function treeReport({ files, directories, symlinks, links, specials, bytes, skipped }: SyncReport): TreeReport {
  return { files, directories, symlinks, links, specials, bytes, skipped };
}

/** Whether entries get the owners that they have at their source: as with rsync only for root, and only when it acts for itself. */
export function keepsOwners({ owner }: ClientContext): boolean {
  return process.geteuid?.() === 0 && owner.uid === 0;
}

export interface DestinationOptions {
  readonly mode: number;
  readonly owner: ClientContext['owner'];
  readonly parents: boolean;
  readonly dryRun?: boolean | undefined;
}

/** Like `mkdir -p` with `parents`; else the destination may be there, its parent must. */
export async function openDestination(
  context: ClientContext,
  to: EntryRef & NodeRef,
  { mode, owner, parents, dryRun = false }: DestinationOptions,
  signal: AbortSignal,
): Promise<{ readonly ino?: NodeCard['ino']; readonly card?: NodeCard }> {
  const existing = await statOf(context, to, signal);
  if (existing !== undefined && existing.type !== 'directory') {
    throw new NokvError('not-directory', `a ${existing.type} is at the destination; name a directory, or remove it`);
  }
  if (existing !== undefined) return { ino: existing.ino, card: existing };
  if (dryRun) return {};
  const args = { entry: to, mode: mode | OWNER_WRITE, parents, ...owner };
  const { attributes } = (await context.metadata.mutate('mkdir', args, { signal })).result;
  return { ino: attributes.ino };
}

async function statOf(context: ClientContext, node: NodeRef, signal: AbortSignal): Promise<NodeCard | undefined> {
  try {
    return await context.metadata.read('stat', { node }, { signal });
  } catch (error) {
    if (isNokvError(error, 'not-found')) return undefined;
    throw error;
  }
}

export async function openLocalDirectory(localDirectory: string | Uint8Array): Promise<LocalEntry> {
  const root = await localRoot(localDirectory);
  if (root.type !== 'directory')
    throw new NokvError('not-directory', `expected a directory on this machine, ${String(localDirectory)} is a ${root.type}`);
  return root;
}

/** Looks before anything is sent; the publish itself checks again. */
async function refuseExisting(context: ClientContext, to: NodeRef, call: { readonly signal: AbortSignal }): Promise<void> {
  try {
    const { generation } = await context.metadata.read('stat', { node: to, follow: false }, call);
    throw new NokvError('exists', 'something exists at the destination; ask to replace it or choose another path', {
      details: { generation },
    });
  } catch (error) {
    if (!isNokvError(error, 'not-found')) throw error;
  }
}
