/** The commit that makes a body visible, and what goes before it. */
import type { NodeRef, PublishArgs, PublishResult, RequestId } from '@nokv/types';
import { INLINE_BYTES_MAX, NokvError, isNokvError, requestId as checkRequestId } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { MutateOptions, Mutated } from '../metadata-client.js';
import type { PublishOptions, PutOptions, PutOutcome, StagedBody } from '../nokv-client.js';
import type { PutSource } from '../put-source.js';
import { sizeOf } from '../body/body-source.js';
import { ResumableUpload } from '../body/resumable-upload.js';
import { stageBody, type StageBodyOptions } from '../body/stage-body.js';
import { endUpload } from '../body/upload-lease.js';
import { transferSignal } from '../transfer-signal.js';
import { STORAGE_DEFAULT, type StorageSettings } from '../storage.js';
import { expectedGeneration, nameBytes, timespec, valueBytes } from './arguments.js';
import { putShared } from './put-shared.js';
import { storageFor } from './storage-settings.js';

const FILE_MODE = 0o644;

/** Stages `source`, then publishes it; an upload whose publish was refused is ended, one of unknown outcome is left alone. */
export async function putBody(context: ClientContext, node: NodeRef, source: PutSource, options: PutOptions): Promise<PutOutcome> {
  const requestId = options.requestId ?? context.requestIds.draw();
  // One deadline for all of it: bytes and commit.
  const { signal, stop } = transferSignal(context.clock, options);
  const call = { ...options, requestId, signal, timeoutMs: undefined };
  try {
    // Under the caller's own id the upload is asked for again too: a repeat meets the blocks that it sent before.
    const uploadRequestId = options.requestId === undefined ? undefined : derivedRequestId(options.requestId, 'u');
    const { compress, dedup } = await storageOfPut(context, node, source, call);
    const staging = { ...call, uploadRequestId, compress };
    if (!dedup) return await storeBody(context, node, source, staging);
    return await putShared(context, node, source, staging, () => storeBody(context, node, source, { ...staging, share: true }));
  } finally {
    stop();
  }
}

async function storeBody(
  context: ClientContext,
  node: NodeRef,
  source: PutSource,
  options: PutOptions & StageBodyOptions,
): Promise<PutOutcome> {
  const resumable = options.resume === undefined ? undefined : new ResumableUpload(options.resume);
  const body = await stageBody(context, source, { ...options, resumable });
  try {
    const outcome = await publishBody(context, node, body, options);
    await resumable?.close(true);
    return resumable === undefined ? outcome : { ...outcome, resumedBytes: resumable.resumedBytes };
  } catch (error) {
    const isKept = resumable?.keepsAfter(error) === true;
    if (!isKept && isNokvError(error) && error.outcome === 'not-applied') await endUpload(context, body.staged.upload);
    await resumable?.close(!isKept);
    throw error;
  }
}

/** What the caller says, else what the directory says; bodies that are small for sure are not asked for. */
async function storageOfPut(
  context: ClientContext,
  node: NodeRef,
  source: PutSource,
  { compress, dedup, signal }: PutOptions,
): Promise<StorageSettings> {
  const isSmall = (sizeOf(source) ?? Infinity) <= INLINE_BYTES_MAX;
  const isSaid = compress !== undefined && dedup !== undefined;
  const settings = isSmall || isSaid || !('path' in node) ? STORAGE_DEFAULT : await storageFor(context, node.path, { signal });
  return { compress: compress ?? settings.compress, dedup: !isSmall && (dedup ?? settings.dedup) };
}

export async function publishBody(context: ClientContext, node: NodeRef, body: Publishable, options: PublishOptions): Promise<PutOutcome> {
  const requestId = options.requestId ?? context.requestIds.draw();
  const args = publishArgs(context, node, body, options);
  const call = { signal: options.signal, timeoutMs: options.timeoutMs, requestId };
  const { version, result } = await publishWith(context, args, Object.entries(options.xattrs ?? {}), call);
  const { attributes, generation, created } = result;
  return { version, requestId, attributes, generation, created, ...(body.digest === undefined ? {} : { digest: body.digest }) };
}

async function publishWith(
  { metadata }: ClientContext,
  args: PublishArgs,
  xattrs: readonly (readonly [name: string, value: string | Uint8Array])[],
  call: MutateOptions,
): Promise<Mutated<PublishResult>> {
  if (xattrs.length === 0) return metadata.mutate('publish', args, call);
  const { node } = args;
  const set = xattrs.map(([name, value]) => ({
    operation: 'xattr-set' as const,
    args: { node, name: nameBytes(name), value: valueBytes(value), mode: 'set' as const },
  }));
  const { version, result } = await metadata.mutate('transact', { operations: [{ operation: 'publish', args }, ...set] }, call);
  const [first] = result.results;
  if (first?.operation !== 'publish')
    throw new NokvError('internal', 'a transaction came back without its first result', { outcome: 'unknown' });
  return { version, result: first.result };
}

type Publishable = Omit<StagedBody, 'size' | 'digest'> & { readonly digest?: string | undefined };

export function publishArgs(context: ClientContext, node: NodeRef, { digest, staged }: Publishable, options: PublishOptions): PublishArgs {
  return {
    node,
    body: staged.body,
    ...(options.owner ?? context.owner),
    mode: options.mode ?? FILE_MODE,
    ...(options.mode === undefined ? {} : { setMode: true }),
    ...(staged.upload === undefined
      ? {}
      : { upload: staged.upload, endUpload: staged.keepUpload !== true, ...(staged.packed === true ? { packed: true } : {}) }),
    ...(staged.base === undefined ? {} : { base: staged.base }),
    ...(digest === undefined ? {} : { digest }),
    ...(options.share === undefined ? {} : { share: options.share }),
    ...(options.contentType === undefined ? {} : { contentType: options.contentType }),
    ...(options.producer === undefined ? {} : { producer: options.producer }),
    ...(options.ifGeneration === undefined
      ? {}
      : { ifGeneration: expectedGeneration(options.ifGeneration) as PublishArgs['ifGeneration'] & number }),
    ...(options.ifDigest === undefined ? {} : { ifDigest: options.ifDigest }),
    ...(options.parents === undefined ? {} : { parents: options.parents }),
    ...(options.mtime === undefined ? {} : { mtime: timespec(options.mtime) }),
  };
}

/** Another request id that belongs to the caller's one. */
export function derivedRequestId(id: RequestId, suffix: string): RequestId {
  const text = `${id}.${suffix}`;
  if (text.length > 64) {
    throw new NokvError(
      'invalid-argument',
      `expected a request id of at most ${64 - suffix.length - 1} characters here, found ${id.length}`,
    );
  }
  return checkRequestId(text);
}
