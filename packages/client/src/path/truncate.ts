/**
 * Cutting and extending bodies. The shard does it without reading any, save for what crosses the limit of what the metadata holds: a
 * small body that grows beyond it is put into a block, with a hole behind it; one in blocks that is cut down to it is read and moves into
 * the metadata, so that its blocks may go.
 */
import { digestOf, uploadBody } from '@nokv/object';
import {
  INLINE_BYTES_MAX,
  NokvError,
  isNokvError,
  type Body,
  type Extent,
  type NodeRef,
  type PublishArgs,
  type RequestId,
} from '@nokv/types';
import { UploadLease, endUpload } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { MutationOptions, NodeOutcome } from '../nokv-client.js';
import { transferSignal } from '../transfer-signal.js';
import { derivedRequestId } from './publish-body.js';

/** How often a body may change under us before we give up. */
const ATTEMPTS_MAX = 8;
/** What a small body that would be better off in the metadata may take to be read. */
const SHRINK_TIMEOUT_MS = 5000;

export async function truncateBody(
  context: ClientContext,
  node: NodeRef & { readonly path: Uint8Array },
  size: number,
  options: MutationOptions,
): Promise<NodeOutcome> {
  const requestId = options.requestId ?? context.requestIds.draw();
  const call = { signal: options.signal, timeoutMs: options.timeoutMs };
  // What may be a repeat must look the same each time: it is cut where it is.
  const mayMove = options.requestId === undefined && size > 0 && size <= INLINE_BYTES_MAX;
  const shrunk = mayMove ? await shrinkToSmall(context, node, size, { ...call, requestId }) : undefined;
  if (shrunk !== undefined) return { ...shrunk, requestId };
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    // Under another id after a first try that was refused: the body is another one now.
    const id = attempt === 0 ? requestId : derivedRequestId(requestId, `t${attempt}`);
    try {
      const { version, result } = await context.metadata.mutate('setattr', { node, size }, { ...call, requestId: id });
      return { version, requestId, attributes: result.attributes };
    } catch (error) {
      if (!isNokvError(error, 'too-large')) throw error;
    }
    const grown = await growSmallBody(context, node, size, { ...call, requestId: derivedRequestId(requestId, `g${attempt}`) });
    if (grown !== undefined) return { ...grown, requestId };
  }
  throw new NokvError('generation-mismatch', `the file changed ${ATTEMPTS_MAX} times while it was made ${size} bytes long; try again`);
}

/**
 * Undefined when the body lies in the metadata already, is not longer, or cannot be had just now: then it is cut where it is. Who may not
 * read the file may cut it all the same.
 */
async function shrinkToSmall(
  context: ClientContext,
  node: NodeRef & { readonly path: Uint8Array },
  size: number,
  options: { readonly requestId: RequestId } & MutationOptions,
): Promise<Omit<NodeOutcome, 'requestId'> | undefined> {
  const { metadata } = context;
  const timeoutMs = Math.min(SHRINK_TIMEOUT_MS, (options.timeoutMs ?? Infinity) / 2);
  const { signal, stop } = transferSignal(context.clock, { ...options, timeoutMs });
  try {
    const card = await metadata.read('stat', { node }, { signal });
    if (card.inline || card.type !== 'file' || card.size <= size) return undefined;
    const { body, generation, contentType, attributes } = await metadata.read('open-read', { node }, { signal });
    if (body.kind === 'inline' || attributes.size <= size) return undefined;
    const bytes = await context.reader.read(body, 0, size, { signal });
    const { ino, uid, gid, mode } = attributes;
    const { inlineBytesMax } = await context.access({ signal });
    if (size > inlineBytesMax) return undefined;
    const args: PublishArgs = {
      node: { ino },
      body: { kind: 'inline', bytes },
      digest: digestOf(bytes),
      uid,
      gid,
      mode,
      ifGeneration: generation,
      ...(contentType === undefined ? {} : { contentType }),
      ...(card.producer === undefined ? {} : { producer: card.producer }),
    };
    const { version, result } = await metadata.mutate('publish', args, { signal, requestId: options.requestId });
    return { version, attributes: result.attributes };
  } catch (error) {
    if (options.signal?.aborted !== true && isNokvError(error) && error.outcome === 'not-applied') return undefined;
    throw error;
  } finally {
    stop();
  }
}

/** Undefined when the body is no small one any more, or was replaced meanwhile. */
async function growSmallBody(
  context: ClientContext,
  node: NodeRef & { readonly path: Uint8Array },
  size: number,
  options: Required<Pick<MutationOptions, 'requestId'>> & MutationOptions,
): Promise<Omit<NodeOutcome, 'requestId'> | undefined> {
  const { metadata } = context;
  const { signal, stop } = transferSignal(context.clock, options);
  const lease = new UploadLease(context, { target: 'truncate', signal });
  try {
    const { producer } = await metadata.read('stat', { node }, { signal });
    const { body, generation, contentType, attributes } = await metadata.read('open-read', { node }, { signal });
    if (body.kind !== 'inline' || body.bytes.length === 0 || body.bytes.length >= size) return undefined;
    const { body: sent } = await uploadBody([body.bytes], { session: lease.session, signal, inlineBytesMax: 0, digest: 'none' });
    const upload = await lease.upload();
    const args: PublishArgs = {
      node: { ino: attributes.ino },
      body: withHole(sent, size),
      uid: attributes.uid,
      gid: attributes.gid,
      mode: attributes.mode,
      ifGeneration: generation,
      ...(upload === undefined ? {} : { upload }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(producer === undefined ? {} : { producer }),
    };
    const { version, result } = await metadata.mutate('publish', args, { signal, requestId: options.requestId });
    return { version, attributes: result.attributes };
  } catch (error) {
    if (isNokvError(error) && error.outcome === 'not-applied') await endUpload(context, await lease.upload().catch(() => undefined));
    if (isNokvError(error, 'generation-mismatch')) return undefined;
    throw signal.aborted ? signal.reason : error;
  } finally {
    lease.release();
    stop();
  }
}

function withHole(body: Body, size: number): Body {
  if (body.kind === 'inline') throw new NokvError('internal', 'a body that was to be put into a block came back without one');
  const extents: Extent[] = [...body.manifest.extents, { hole: true, take: size - body.manifest.size }];
  return { kind: 'blocks', manifest: { size, extents } };
}
