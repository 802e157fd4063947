/**
 * Sends a local directory.
 *
 * `putTree` builds it in a staging directory that no path reaches and moves it into place in one commit: readers see
 * all of it or none. When it fails, what was staged stays for the server's sweep; nothing is deleted here.
 * `putInto` creates entry by entry at the destination itself.
 */
import type { EntryRef, InodeNumber, NodeRef } from '@nokv/types';
import { NokvError, UPLOAD_TTL_MS_MAX, isNokvError } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import { transferSignal } from '../transfer-signal.js';
import type { PutTreeOptions, TreeReport } from '../trees.js';
import { localRoot, type LocalEntry } from './local-tree.js';
import { OWNER_WRITE, reportOf, sendBelow, startSending } from './send-tree.js';

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
    if (options.replace !== true) await refuseExisting(context, to, call);
    const staged = await context.metadata.mutate('begin-tree', { mode: root.mode | OWNER_WRITE, ttlMs: UPLOAD_TTL_MS_MAX, ...owner }, call);
    const sending = await startSending(context, options, 'stage', transfer.signal);
    await sendBelow(sending, root, staged.result.root);
    sending.meter.phase('publish');
    const { version } = await context.metadata.mutate(
      'publish-tree',
      { root: staged.result.root, to, replace: options.replace ?? false, parents: options.parents ?? true, ...owner },
      { ...call, requestId },
    );
    return { ...reportOf(sending), version, requestId };
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
    const call = { signal: transfer.signal };
    const root = await openLocalDirectory(localDirectory);
    const sending = await startSending(context, options, 'merge', transfer.signal);
    const made = await makeDestination(context, to, root, { ...options, owner }, call);
    await sendBelow(sending, root, made);
    return reportOf(sending);
  } finally {
    transfer.stop();
  }
}

/** With `parents` (the default) like `mkdir -p`; else the destination may be there, its parent must. */
async function makeDestination(
  context: ClientContext,
  to: EntryRef & NodeRef,
  root: LocalEntry,
  { owner, parents = true }: PutTreeOptions & { readonly owner: ClientContext['owner'] },
  call: { readonly signal: AbortSignal },
): Promise<InodeNumber> {
  try {
    const args = { entry: to, mode: root.mode | OWNER_WRITE, parents, ...owner };
    return (await context.metadata.mutate('mkdir', args, call)).result.attributes.ino;
  } catch (error) {
    if (!isNokvError(error, 'exists')) throw error;
    const existing = await context.metadata.read('stat', { node: to }, call);
    if (existing.type !== 'directory') throw error;
    return existing.ino;
  }
}

async function openLocalDirectory(localDirectory: string): Promise<LocalEntry> {
  const root = await localRoot(localDirectory);
  if (root.kind !== 'directory')
    throw new NokvError('not-directory', `expected a directory on this machine, ${localDirectory} is a ${root.kind}`);
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
