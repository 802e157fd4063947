/**
 * Appending to files and writing over parts of them: only the bytes of the change are sent (and, now and then, what lies beside them in
 * the same block, see `rewrite-ranges`), everything else is shared with the body that was there.
 *
 * The commit puts the bytes into the body that it finds, so appends of many clients never conflict and land once each. Only where a
 * small body moves from the metadata into blocks is it read and published as a whole, under the condition that it is still the same.
 */
import { PackedUpload, compressPiece, uploadBody } from '@nokv/object';
import {
  INLINE_BYTES_MAX,
  NokvError,
  bodySize,
  isHole,
  isNokvError,
  joinExtents,
  lengthOf,
  sliceExtents,
  spliceExtents,
  type Body,
  type Codec,
  type Extent,
  type NodeRef,
  type PublishArgs,
  type ReadPlan,
  type RequestId,
  type Splice,
} from '@nokv/types';
import { bodySourceOf, sizeOf } from '../body/body-source.js';
import { compressing } from '../body/stage-body.js';
import { rewriteRanges, type ByteRange } from '../body/rewrite-ranges.js';
import { UploadLease, endUpload } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { SpliceOptions, SpliceOutcome } from '../nokv-client.js';
import { ProgressMeter } from '../progress-meter.js';
import type { PutSource } from '../put-source.js';
import { transferSignal } from '../transfer-signal.js';
import { expectedGeneration } from './arguments.js';
import { derivedRequestId } from './publish-body.js';
import { storageFor } from './storage-settings.js';

/** How often a body may change under us, just where we change it, before we give up. */
const ATTEMPTS_MAX = 16;
const FILE_MODE = 0o644;

/** @param offset undefined: at the end; then a file that is not there is made. */
export async function spliceBody(
  context: ClientContext,
  node: NodeRef,
  offset: number | undefined,
  source: PutSource,
  options: SpliceOptions & { readonly target: string },
): Promise<SpliceOutcome> {
  if (offset !== undefined && (!Number.isSafeInteger(offset) || offset < 0)) {
    throw new NokvError('invalid-argument', `expected an offset of 0 or more whole bytes, found ${offset}`);
  }
  const { signal, stop } = transferSignal(context.clock, options);
  const uploadId = options.requestId === undefined ? undefined : derivedRequestId(options.requestId, 'u');
  const lease = new UploadLease(context, { target: options.target, signal, requestId: uploadId });
  const change = new BodyChange(context, node, offset, lease, signal, options);
  try {
    return await change.run(source);
  } catch (error) {
    if (isNokvError(error) && error.outcome === 'not-applied') await endUpload(context, await lease.upload().catch(() => undefined));
    throw signal.aborted ? signal.reason : error;
  } finally {
    lease.release();
    stop();
  }
}

class BodyChange {
  readonly #context: ClientContext;
  readonly #given: NodeRef;
  #node: NodeRef;
  #compress: SpliceOptions['compress'];
  #packed: Promise<readonly Extent[]> | undefined;
  readonly #offset: number | undefined;
  readonly #lease: UploadLease;
  readonly #signal: AbortSignal;
  readonly #options: SpliceOptions;
  readonly #requestId: RequestId;
  readonly #meter: ProgressMeter;

  constructor(
    context: ClientContext,
    node: NodeRef,
    offset: number | undefined,
    lease: UploadLease,
    signal: AbortSignal,
    options: SpliceOptions,
  ) {
    this.#context = context;
    this.#given = node;
    this.#node = node;
    this.#offset = offset;
    this.#lease = lease;
    this.#signal = signal;
    this.#options = options;
    this.#requestId = options.requestId ?? context.requestIds.draw();
    this.#meter = new ProgressMeter(options.onProgress, context.clock);
  }

  async run(source: PutSource): Promise<SpliceOutcome> {
    // Looked at first: nothing is sent for a file that is not there or that changed.
    let plan = await this.#plan();
    this.#compress = this.#options.compress ?? codecOf(plan?.body) ?? (await this.#compressBySettings(plan, source));
    const sent = await this.#stage(source);
    const size = sent.kind === 'inline' ? sent.bytes.length : sent.manifest.size;
    this.#meter.phase('publish');
    let refusal: NokvError | undefined;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (attempt > 0) plan = await this.#plan();
      // What may be a repeat goes through the same forms in the same order, to meet the one that took effect.
      const isFirstForm = attempt === 0 && this.#options.requestId !== undefined;
      try {
        const outcome = await this.#commit(plan, sent, isFirstForm, attempt > 0);
        this.#meter.phase('done');
        return { ...outcome, requestId: this.#requestId, offset: this.#offset ?? outcome.attributes.size - size, length: size };
      } catch (error) {
        if (!isNokvError(error) || !isRace(error, this.#options)) throw error;
        refusal = error;
      }
    }
    throw refusal ?? new NokvError('internal', 'a change of a body ended without an answer');
  }

  async #plan(): Promise<ReadPlan | undefined> {
    const { ifGeneration } = this.#options;
    let plan: ReadPlan | undefined;
    try {
      plan = await this.#context.metadata.read('open-read', { node: this.#node }, { signal: this.#signal });
      // Writing over a part of it is for this file, whatever it is called by then.
      if (this.#offset !== undefined) this.#node = { ino: plan.attributes.ino };
    } catch (error) {
      if (!isNokvError(error, 'not-found') || this.#offset !== undefined) throw error;
    }
    const found = plan?.generation ?? 0;
    if (ifGeneration !== undefined && ifGeneration !== found && this.#options.requestId === undefined) {
      throw new NokvError('generation-mismatch', `expected generation ${ifGeneration}, found ${found}; read it again and decide`, {
        details: { expected: ifGeneration, generation: found },
      });
    }
    return plan;
  }

  /** A file that has no blocks yet is stored as its directory says. */
  async #compressBySettings(plan: ReadPlan | undefined, source: PutSource): Promise<SpliceOptions['compress']> {
    if (plan?.body.kind === 'blocks' || !('path' in this.#given)) return undefined;
    const size = (plan?.attributes.size ?? 0) + (sizeOf(source) ?? Infinity);
    return size <= INLINE_BYTES_MAX ? undefined : (await storageFor(this.#context, this.#given.path, { signal: this.#signal })).compress;
  }

  async #stage(source: PutSource): Promise<Body> {
    const bytes = source instanceof Uint8Array ? source : typeof source === 'string' ? Buffer.from(source, 'utf8') : undefined;
    if (bytes !== undefined && bytes.length <= INLINE_BYTES_MAX) return { kind: 'inline', bytes };
    const { inlineBytesMax, blockBytes } = await this.#context.access({ signal: this.#signal });
    const chunks = await bodySourceOf(source, this.#signal);
    this.#meter.phase('transfer', { files: 1, bytes: sizeOf(source) ?? ('sizeHint' in chunks ? chunks.sizeHint : undefined) });
    const { body } = await uploadBody(chunks, {
      session: this.#lease.session,
      signal: this.#signal,
      inlineBytesMax,
      blockBytes,
      // Of the whole body nobody knows a digest without reading it.
      digest: 'none',
      ...compressing(this.#compress),
      onProgress: (stored) => this.#meter.add(0, stored - this.#meter.bytes),
    });
    return body;
  }

  async #commit(plan: ReadPlan | undefined, sent: Body, isFirstForm: boolean, isContended: boolean): ReturnType<BodyChange['publish']> {
    if (sent.kind === 'inline' && (isFirstForm || !needsBlocks(plan, sent, this.#offset))) {
      const outcome = await this.publish({ body: sent, splices: [this.#place(sent.bytes.length)] });
      // Sent before the body turned out to fit into the metadata.
      await endUpload(this.#context, await this.#lease.upload());
      return outcome;
    }
    if (plan?.body.kind === 'inline' && plan.body.bytes.length > 0) return await this.#moveToBlocks(plan, plan.body.bytes, sent);
    if (plan?.body.kind === 'blocks') return await this.#splice(plan, plan.body.manifest.extents, sent, isContended);
    const extents = await this.#extentsOf(sent);
    return await this.publish({ body: bodyOf(extents), splices: [this.#place(lengthOf(extents))] });
  }

  #place(length: number): Splice {
    return this.#offset === undefined ? { length } : { offset: this.#offset, length };
  }

  /** Bytes that turn out to need a block are sent once, however often the commit is tried. */
  async #extentsOf(sent: Body): Promise<readonly Extent[]> {
    if (sent.kind === 'blocks') return sent.manifest.extents;
    return await (this.#packed ??= this.#pack([sent.bytes]));
  }

  /** Into blocks that are there, along with what is to be written anew beside it. */
  async #splice(plan: ReadPlan, extents: readonly Extent[], sent: Body, isContended: boolean): ReturnType<BodyChange['publish']> {
    const { blockBytes } = await this.#context.access({ signal: this.#signal });
    const { size } = plan.attributes;
    const length = bodySize(sent);
    const change = { start: this.#offset ?? size, end: (this.#offset ?? size) + length };
    // A call that may be a repeat must look the same each time: it leaves the plan as long as it is.
    const ranges = this.#options.requestId === undefined ? rewriteRanges(extents, size, change, blockBytes, isContended) : [];
    const whole = {
      start: Math.min(change.start, ...ranges.map(({ start }) => start)),
      end: Math.max(change.end, ...ranges.map(({ end }) => end)),
    };
    const over = ({ start, end }: ByteRange): Splice => ({ offset: start, length: end - start, over: sliceExtents(extents, start, end) });
    if (sent.kind === 'inline' && this.#offset !== undefined && ranges.length > 0 && whole.end - whole.start <= blockBytes) {
      // Few bytes and all beside them that is written anew: one piece.
      const bytes = Buffer.alloc(whole.end - whole.start);
      bytes.set(await this.#read(plan.body, whole.start, Math.min(whole.end, size)));
      bytes.set(sent.bytes, change.start - whole.start);
      return await this.publish({ body: bodyOf(await this.#pack([bytes])), splices: [over(whole)] });
    }
    const parts = await Promise.all(ranges.map((range) => this.#read(plan.body, range.start, range.end)));
    const anew = await this.#pack(parts);
    return await this.publish({
      body: bodyOf([...anew, ...(await this.#extentsOf(sent))]),
      splices: [...ranges.map(over), this.#place(length)],
    });
  }

  /** A small body leaves the metadata: its bytes and those of the change are blocks from now on. */
  async #moveToBlocks(plan: ReadPlan, bytes: Uint8Array, sent: Body): ReturnType<BodyChange['publish']> {
    const old = await this.#pack([bytes]);
    const extents = spliceExtents(old, bytes.length, this.#offset ?? bytes.length, await this.#extentsOf(sent));
    const body = bodyOf(extents);
    const { contentType, producer } = await this.#context.metadata.read('stat', { node: this.#node }, { signal: this.#signal });
    return await this.publish({
      body,
      ifGeneration: plan.generation,
      ...(contentType === undefined ? {} : { contentType }),
      ...(producer === undefined ? {} : { producer }),
    });
  }

  async publish(body: Pick<PublishArgs, 'body' | 'splices' | 'ifGeneration' | 'contentType' | 'producer'>) {
    const { ifGeneration, owner } = this.#options;
    const upload = body.body.kind === 'blocks' ? await this.#lease.upload() : undefined;
    const args: PublishArgs = {
      node: this.#node,
      ...(owner ?? this.#context.owner),
      mode: this.#options.mode ?? FILE_MODE,
      ...(this.#options.parents === undefined ? {} : { parents: this.#options.parents }),
      ...(upload === undefined ? {} : { upload }),
      ...(ifGeneration === undefined ? {} : { ifGeneration: expectedGeneration(ifGeneration) as PublishArgs['ifGeneration'] & number }),
      ...body,
    };
    const { version, result } = await this.#context.metadata.mutate('publish', args, { signal: this.#signal, requestId: this.#requestId });
    return { version, attributes: result.attributes, generation: result.generation, created: result.created };
  }

  /** One piece for each, packed into as few blocks as they need; a hole for zeros. */
  async #pack(parts: readonly Uint8Array[]): Promise<Extent[]> {
    const { blockBytes } = await this.#context.access({ signal: this.#signal });
    const packed = new PackedUpload({ session: this.#lease.session, signal: this.#signal, blockBytes, inlineBytesMax: 0 });
    const stored = [];
    for (const part of parts) {
      const codec = compressing(this.#compress).compress;
      const added = packed.add(part, codec === undefined ? undefined : await compressPiece(part, codec));
      await added.accepted;
      stored.push(added.stored);
    }
    await packed.flush();
    const bodies = await Promise.all(stored);
    return joinExtents(bodies.flatMap(({ body }) => (body.kind === 'blocks' ? body.manifest.extents : [])));
  }

  async #read(body: Body, start: number, end: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafe(end - start);
    let filled = 0;
    for await (const chunk of this.#context.reader.stream(body, { offset: start, length: end - start, signal: this.#signal })) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    return bytes;
  }
}

function bodyOf(extents: readonly Extent[]): Body {
  return { kind: 'blocks', manifest: { size: lengthOf(extents), extents } };
}

/** Whether small bytes that are to be sent must be a block: the body has blocks already, or would outgrow the metadata. */
function needsBlocks(plan: ReadPlan | undefined, sent: Body, offset: number | undefined): boolean {
  if (sent.kind === 'blocks' || sent.bytes.length === 0) return false;
  const size = plan?.attributes.size ?? 0;
  return plan?.body.kind === 'blocks' || Math.max(size, (offset ?? size) + sent.bytes.length) > INLINE_BYTES_MAX;
}

/** What was compressed stays so. */
function codecOf(body: Body | undefined): Codec | undefined {
  if (body?.kind !== 'blocks') return undefined;
  for (const extent of body.manifest.extents) if (!isHole(extent) && extent.compression !== undefined) return extent.compression.codec;
  return undefined;
}

/** The body moved between metadata and blocks, or was written anew where we wrote it anew: with a fresh plan it goes. */
function isRace(error: NokvError, { ifGeneration, requestId }: SpliceOptions): boolean {
  if (isNokvError(error, 'too-large')) return true;
  // The first try of this very call took effect in another form, which is tried next.
  if (isNokvError(error, 'request-reused')) return requestId !== undefined;
  return isNokvError(error, 'generation-mismatch') && ifGeneration === undefined;
}
