/**
 * Puts that look first whether the bytes are there: then the new body names the blocks of the one that was found, and none is stored.
 *
 * What can be read twice is read for its digest before anything is sent. A stream is stored, and its blocks are given up when the digest
 * turns out to be known. The commit takes the reference, in which it is checked that the blocks are still those of a body that the caller
 * may read: where they are not, the body is stored as any other.
 */
import { NokvError, isNokvError, type Body, type InodeNumber, type NodeRef } from '@nokv/types';
import { bodySourceOf, sizeOf } from '../body/body-source.js';
import { fingerprintOf, isSameParts, partsOfBody, type Fingerprint } from '../body/fingerprint.js';
import { stageBody, type StageBodyOptions } from '../body/stage-body.js';
import { endUpload } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { PutOptions, PutOutcome, StagedBody } from '../nokv-client.js';
import type { PutSource } from '../put-source.js';
import { publishBody } from './publish-body.js';

type SharedPutOptions = PutOptions & StageBodyOptions & { readonly signal: AbortSignal };

/** A body with the same bytes that this caller may read. */
interface Twin {
  readonly ino: InodeNumber;
  readonly body: Body;
}

/** @param store puts the source as any other, and offers its blocks. */
export async function putShared(
  context: ClientContext,
  node: NodeRef,
  source: PutSource,
  options: SharedPutOptions,
  store: () => Promise<PutOutcome>,
): Promise<PutOutcome> {
  const known = await fingerprintFirst(context, source, options);
  if (known === 'read once') return await putStream(context, node, source, options);
  if (known === undefined) return await store();
  if (options.digest !== undefined && options.digest !== known.digest) {
    throw new NokvError('corrupt', `expected a body with digest ${options.digest}, found ${known.digest}; nothing was published`);
  }
  return (await publishTwin(context, node, known, options)) ?? (await store());
}

async function putStream(context: ClientContext, node: NodeRef, source: PutSource, options: SharedPutOptions): Promise<PutOutcome> {
  const body = await stageBody(context, source, options);
  try {
    const shared = await publishTwin(context, node, fingerprintOfStaged(body), options);
    if (shared === undefined) return await publishBody(context, node, body, { ...options, share: true });
    await endUpload(context, body.staged.upload);
    return shared;
  } catch (error) {
    if (isNokvError(error) && error.outcome === 'not-applied') await endUpload(context, body.staged.upload);
    throw error;
  }
}

/** Undefined for small bodies, which no block holds. */
async function fingerprintFirst(
  context: ClientContext,
  source: PutSource,
  { signal }: SharedPutOptions,
): Promise<Fingerprint | 'read once' | undefined> {
  const isFile = typeof source === 'object' && 'file' in source;
  if (!isFile && sizeOf(source) === undefined) return 'read once';
  const { inlineBytesMax, blockBytes } = await context.access({ signal });
  const body = await bodySourceOf(source, signal);
  // A device or a pipe under a file's name can be read once.
  if (isFile && (!('sizeHint' in body) || body.sizeHint === undefined)) {
    if ('close' in body) await body.close();
    return 'read once';
  }
  const found = await fingerprintOf(body, blockBytes, signal);
  return found.size <= inlineBytesMax ? undefined : found;
}

function fingerprintOfStaged({ size, digest, staged }: StagedBody): Fingerprint | undefined {
  const parts = partsOfBody(staged.body);
  return parts === undefined ? undefined : { size, digest, parts };
}

/** Undefined when there is none, or it went away: the body is to be stored. */
async function publishTwin(
  context: ClientContext,
  node: NodeRef,
  wanted: Fingerprint | undefined,
  options: SharedPutOptions,
): Promise<PutOutcome | undefined> {
  if (wanted === undefined) return undefined;
  const twin = await findTwin(context, wanted, options.signal);
  if (twin === undefined) return undefined;
  const staged = { body: twin.body, base: twin.ino };
  try {
    return await publishBody(context, node, { digest: wanted.digest, staged }, { ...options, share: true });
  } catch (error) {
    // It went away, or is not ours to read any more; or this is a repeat of a call that stored the body itself. What is wrong with the
    // call, too, shows when it does.
    const isOver = isNokvError(error, 'bad-upload') || isNokvError(error, 'request-reused');
    if (isOver || (isNokvError(error) && (error.kind === 'not-found' || error.kind === 'denied'))) return undefined;
    throw error;
  }
}

async function findTwin(context: ClientContext, wanted: Fingerprint, signal: AbortSignal): Promise<Twin | undefined> {
  const { ino, generation } = await context.metadata.read('find-body', { digest: wanted.digest }, { signal });
  if (ino === undefined || generation === undefined) return undefined;
  try {
    const plan = await context.metadata.read('open-read', { node: { ino }, generation }, { signal });
    // The digest is what its publisher said. Every block must have the length and the checksum of ours.
    const isSame = plan.digest === wanted.digest && isSameParts(partsOfBody(plan.body), wanted.parts);
    return isSame ? { ino, body: plan.body } : undefined;
  } catch (error) {
    if (isNokvError(error) && (error.kind === 'not-found' || error.kind === 'denied')) return undefined;
    throw error;
  }
}
