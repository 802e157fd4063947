/**
 * One file's content as this mount sees it: the published body it started from, and what was written on top.
 *
 * All handles of an inode share one state, so a second descriptor reads what the first has not flushed and appenders see one
 * size. Layers, newest first: `#overlay` takes writes; `#publishing` is the overlay of a publish that is under way and never
 * changes; the base body shows below them up to `#baseLimit`. What a publish did not take stays dirty; a publish that fails
 * puts its layer back. One publish of a file runs at a time, and truncation waits for it.
 *
 * An upload that fails keeps its bytes in memory and is tried again by the next flush; the error is thrown by that flush, by
 * fsync or by the next write, whichever comes first.
 */
import type { Attributes, Body, Extent, Generation, ReadPlan, Timespec } from '@nokv/types';
import { assert, bodySize, isNokvError, joinExtents, sliceExtents } from '@nokv/types';
import type { OpenBody } from './body-access.js';
import type { MountContext } from './mount-context.js';
import type { Node } from './node-table.js';
import { Overlay, type Segment } from './overlay.js';
import { sealOverlay, uploadBlock } from './seal-overlay.js';
import type { UploadLease } from './upload-leases.js';

/** Bytes of small scattered writes that one file may hold in memory before they are spilled to blocks. */
const SPILL_BYTES = 32 * 1024 * 1024;
/** Segments checked against {@link SPILL_BYTES} only this often. */
const SPILL_CHECK_BYTES = 4 * 1024 * 1024;
/** A block of the file that is shown by more extents than this is written anew as one. */
const EXTENTS_PER_BLOCK_MAX = 16;
const REBASES_MAX = 8;
const EMPTY_BODY: Body = { kind: 'inline', bytes: new Uint8Array(0) };

/** A stretch of the file and where its bytes are. */
type Part =
  | { readonly kind: 'segment'; readonly start: number; readonly end: number; readonly segment: Segment }
  | { readonly kind: 'base'; readonly start: number; readonly end: number }
  | { readonly kind: 'zeros'; readonly start: number; readonly end: number };

interface Base {
  readonly generation: Generation;
  readonly body: Body;
  readonly open: OpenBody;
}

/** What a publish covers, as it was when the publish began. */
interface Taken {
  readonly size: number;
  /** Size of the body that the writes began over. */
  readonly baseSize: number;
  readonly baseLimit: number;
  readonly mtime: Timespec | undefined;
}

export class FileState {
  /** The published body below the layers; undefined until loaded. */
  #base: Base | undefined;
  #loading: Promise<void> | undefined;
  /** Size of the base when the first of what is dirty was written. */
  #baseSize = 0;
  /** The base was replaced under what is dirty. */
  #isRebased = false;
  /** The newest generation that others published during a publish of ours. */
  #foreignGeneration = 0;
  #baseLimit = Infinity;
  #overlay: Overlay;
  #publishing: Overlay | undefined;
  #publish: Promise<void> | undefined;
  #lease: UploadLease | undefined;
  #leasing: Promise<UploadLease> | undefined;
  readonly #uploads = new Set<Promise<void>>();
  #uploadError: unknown;
  #sinceSpillCheck = 0;
  #isSpilling = false;
  #isDirty = false;
  #size: number;
  #mtime: Timespec | undefined;
  writers = 0;

  constructor(
    readonly node: Node,
    readonly context: MountContext,
  ) {
    this.#size = node.attributes.size;
    this.#overlay = this.#freshOverlay();
  }

  get isDirty(): boolean {
    return this.#isDirty;
  }

  /** The node must not be forgotten meanwhile. */
  get isBusy(): boolean {
    return this.#isDirty || this.#publish !== undefined || this.#uploads.size > 0;
  }

  get size(): number {
    return this.#size;
  }

  get generation(): Generation | undefined {
    return this.#base?.generation;
  }

  /** What stat shows: the server's attributes with the size and times of what is not yet published. */
  shown(attributes: Attributes): Attributes {
    if (!this.#isDirty && this.#publish === undefined) return attributes;
    const mtime = this.#mtime ?? attributes.mtime;
    return { ...attributes, size: this.#size, blocks: Math.ceil(this.#size / 512), mtime, ctime: mtime };
  }

  /** Attributes of the server arrived and nothing here is newer. */
  follow(attributes: Attributes): void {
    if (this.#isDirty || this.#publish !== undefined) return;
    this.#size = attributes.size;
    if (this.#base !== undefined && this.#base.generation !== attributes.generation) this.#base = undefined;
  }

  /** Writers that append must load first: another client may have made the file longer. */
  get isLoaded(): boolean {
    return this.#base !== undefined;
  }

  /** Loads the plan of the current body, once. */
  load(): Promise<void> | undefined {
    if (this.#base !== undefined) return undefined;
    return (this.#loading ??= this.#loadBase().finally(() => (this.#loading = undefined)));
  }

  async #loadBase(): Promise<void> {
    const { attributes } = this.node;
    if (this.node.isFresh && attributes.size === 0) {
      this.#setBase(attributes.generation, EMPTY_BODY);
      return;
    }
    const plan: ReadPlan = await this.context.read('open-read', { node: { ino: this.node.ino } });
    this.#setBase(plan.generation, plan.body);
    if (!this.#isDirty && this.#publish === undefined) this.#size = bodySize(plan.body);
  }

  #setBase(generation: Generation, body: Body): void {
    this.#base = { generation, body, open: this.context.bodies.open(body) };
    // While something is dirty this stays the size that the writes began over.
    if (!this.#isDirty && this.#publish === undefined) this.#baseSize = bodySize(body);
  }

  /**
   * Another client published `generation`: writers here go on over the new body. A publish that is under way keeps its base (the
   * server refuses it if that is no longer the current one, and it begins again).
   */
  rebase(generation: Generation | undefined): void {
    if (this.#publish !== undefined) this.#foreignGeneration = Math.max(this.#foreignGeneration, generation ?? Infinity);
    else this.#dropBase();
  }

  #dropBase(): void {
    this.#base = undefined;
    this.#isRebased = true;
  }

  /* -------------------------------------------------------------- reading */

  read(offset: number, length: number): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
    const end = Math.min(offset + length, this.#size);
    if (end <= offset) return [];
    if (this.#base === undefined && this.#baseLimit > offset) return Promise.resolve(this.load()).then(() => this.read(offset, length));
    const parts = this.#layout(offset, end);
    if (parts.every((part) => this.#inMemory(part) !== undefined)) return parts.map((part) => this.#inMemory(part) as Uint8Array);
    return this.#gather(parts);
  }

  async #gather(parts: readonly Part[]): Promise<readonly Uint8Array[]> {
    // Memory may be written to while the store is asked: it is copied first.
    const pending = parts.map((part) => copyOf(this.#inMemory(part)) ?? this.#fetch(part));
    return (await Promise.all(pending)).flat();
  }

  #inMemory(part: Part): Uint8Array | undefined {
    const { start, end } = part;
    if (part.kind === 'zeros') return new Uint8Array(end - start);
    if (part.kind === 'segment') {
      const { segment } = part;
      if (segment.chunk === undefined) return new Uint8Array(end - start);
      const at = segment.at + start - segment.start;
      return segment.chunk.bytes?.subarray(at, at + end - start);
    }
    return this.#base?.body.kind === 'inline' ? this.#base.body.bytes.subarray(start, end) : undefined;
  }

  #fetch(part: Part): Promise<readonly Uint8Array[]> {
    const length = part.end - part.start;
    const base = this.#base;
    if (part.kind === 'base' && base !== undefined) {
      return base.open.read(part.start, length).catch((error: unknown) => this.#readMoved(base, part, error));
    }
    const extents = this.#extentsOf(part);
    return this.context.bodies.open({ kind: 'blocks', manifest: { size: length, extents } }).read(0, length);
  }

  /** `[start, end)` in order, newest layer first. */
  #layout(start: number, end: number): Part[] {
    const parts: Part[] = [];
    const visit = (layers: readonly (Overlay | undefined)[], from: number, to: number): void => {
      const [layer, ...below] = layers;
      if (layer === undefined) {
        if (layers.length > 0) return visit(below, from, to);
        const baseEnd = this.#base === undefined ? 0 : Math.min(bodySize(this.#base.body), this.#baseLimit);
        if (from < baseEnd) parts.push({ kind: 'base', start: from, end: Math.min(to, baseEnd) });
        if (to > baseEnd) parts.push({ kind: 'zeros', start: Math.max(from, baseEnd), end: to });
        return;
      }
      let at = from;
      for (let i = layer.firstAfter(from); i < layer.segments.length && at < to; i++) {
        const segment = layer.segments[i] as Segment;
        if (segment.start >= to) break;
        if (segment.start > at) visit(below, at, segment.start);
        const partStart = Math.max(at, segment.start);
        const partEnd = Math.min(to, segment.end);
        parts.push({ kind: 'segment', start: partStart, end: partEnd, segment });
        at = partEnd;
      }
      if (at < to) visit(below, at, to);
    };
    visit([this.#overlay, this.#publishing], start, end);
    return parts;
  }

  #extentsOf(part: Part): Extent[] {
    const take = part.end - part.start;
    if (part.kind === 'zeros') return [{ hole: true, take }];
    if (part.kind === 'segment') {
      const { chunk, at, start } = part.segment;
      if (chunk === undefined) return [{ hole: true, take }];
      if (chunk.piece === undefined) throw new Error('a segment in memory has no extent');
      return [{ ...chunk.piece, skip: chunk.piece.skip + at + part.start - start, take }];
    }
    const body = this.#base?.body;
    if (body?.kind !== 'blocks') throw new Error('an inline base has no extents');
    return sliceExtents(body.manifest.extents, part.start, part.end);
  }

  /** Blocks of a body may be moved together long after it was opened: the same generation is asked for again, once. */
  async #readMoved(stale: Base, part: Part, error: unknown): Promise<readonly Uint8Array[]> {
    if (!isNokvError(error, 'corrupt') && !isNokvError(error, 'no-object')) throw error;
    const { generation } = stale;
    const plan: ReadPlan = await this.context.read('open-read', { node: { ino: this.node.ino }, generation });
    const open = this.context.bodies.open(plan.body);
    if (this.#base === stale) this.#base = { generation, body: plan.body, open };
    return open.read(part.start, part.end - part.start);
  }

  /** The first data or hole at or after `offset`; undefined beyond the end. */
  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    await this.load();
    if (offset >= this.#size) return undefined;
    let at = offset;
    for (const part of this.#layout(offset, this.#size)) {
      const extents = part.kind === 'base' && this.#base?.body.kind === 'blocks' ? this.#extentsOf(part) : undefined;
      for (const { isHole, take } of extents?.map((extent) => ({ isHole: 'hole' in extent, take: extent.take })) ?? [
        { isHole: part.kind === 'zeros' || (part.kind === 'segment' && part.segment.chunk === undefined), take: part.end - part.start },
      ]) {
        if (isHole === (what === 'hole')) return at;
        at += take;
      }
    }
    return what === 'hole' ? this.#size : undefined;
  }

  /* -------------------------------------------------------------- writing */

  /** Takes the bytes before it returns; a promise means that the writer must wait for room. */
  write(offset: number, bytes: Uint8Array): void | Promise<void> {
    this.#throwUploadError();
    const full = this.#overlay.write(offset, bytes);
    this.#size = Math.max(this.#size, offset + bytes.length);
    this.#changed();
    for (const segment of full) this.#uploadWhole(segment);
    this.#sinceSpillCheck += bytes.length;
    if (this.#sinceSpillCheck >= SPILL_CHECK_BYTES) {
      this.#sinceSpillCheck = 0;
      if (this.#overlay.memoryBytes() > SPILL_BYTES) return this.#spill();
    }
    if (this.context.uploads.isFull) return this.context.uploads.room();
    return undefined;
  }

  /** Zeros in `[start, end)`, which must lie within the size that the file then has. */
  zero(start: number, end: number, grow: boolean): void {
    if (grow) this.#size = Math.max(this.#size, end);
    this.#overlay.zero(start, Math.min(end, this.#size));
    this.#changed();
  }

  /** Cuts or extends; waits for a publish that is under way. */
  async truncate(size: number): Promise<void> {
    while (this.#publish !== undefined) await this.#publish.catch(() => undefined);
    this.truncateNow(size);
  }

  /** Only while no publish is under way. */
  truncateNow(size: number): void {
    if (size < this.#size) {
      this.#overlay.truncate(size);
      this.#baseLimit = Math.min(this.#baseLimit, size);
    }
    this.#size = size;
    this.#changed();
  }

  get isPublishing(): boolean {
    return this.#publish !== undefined;
  }

  /** An explicit utimes wins over the time of the writes before it. */
  setMtime(mtime: Timespec): void {
    if (this.#isDirty) this.#mtime = mtime;
  }

  #changed(): void {
    this.#isDirty = true;
    this.#mtime = this.context.clock.now();
  }

  /** A whole block is complete: it goes to the store while writing goes on. */
  #uploadWhole(segment: Segment): void {
    const { chunk } = segment;
    // A publish ends the upload that its pieces belong to: what is written meanwhile waits for the next one.
    if (chunk?.bytes === undefined || chunk.isFrozen || this.#publish !== undefined) return;
    chunk.isFrozen = true;
    const bytes = chunk.length;
    this.context.uploads.take(bytes);
    const upload = this.#ownLease()
      .then((lease) => uploadBlock(this.context, lease, [chunk]))
      .catch((error: unknown) => {
        chunk.isFrozen = false;
        this.#uploadError ??= error;
      })
      .finally(() => {
        this.context.uploads.give(bytes);
        this.#uploads.delete(upload);
      });
    this.#uploads.add(upload);
  }

  /** Moves scattered small writes out of memory. */
  async #spill(): Promise<void> {
    if (this.#isSpilling) return;
    this.#isSpilling = true;
    try {
      while (this.#publish !== undefined) await this.#publish.catch(() => undefined);
      const lease = await this.#ownLease();
      while (this.#uploads.size > 0) await Promise.all(this.#uploads);
      const spill = sealOverlay(this.context, this.#overlay, lease)
        .catch((error: unknown) => void (this.#uploadError ??= error))
        .finally(() => this.#uploads.delete(spill));
      this.#uploads.add(spill);
      await spill;
    } finally {
      this.#isSpilling = false;
    }
  }

  #ownLease(): Promise<UploadLease> {
    if (this.#lease !== undefined) return Promise.resolve(this.#lease);
    return (this.#leasing ??= this.context.leases
      .own()
      .then((lease) => (this.#lease = lease))
      .finally(() => (this.#leasing = undefined)));
  }

  #throwUploadError(): void {
    const error = this.#uploadError;
    if (error === undefined) return;
    this.#uploadError = undefined;
    throw error;
  }

  /* ----------------------------------------------------------- publishing */

  /** Publishes all that was written before the call. */
  async flush(): Promise<void> {
    if (this.node.isGone) return;
    // Someone else's publish may have begun before our last write: at most one more is ours.
    if (this.#publish !== undefined) await this.#publish.catch(() => undefined);
    if (this.#publish !== undefined) return this.#publish;
    if (!this.#isDirty) return;
    this.#publish = this.#publishOnce().finally(() => (this.#publish = undefined));
    await this.#publish;
    for (const segment of this.#overlay.wholeBlocks()) this.#uploadWhole(segment);
  }

  async #publishOnce(): Promise<void> {
    this.#publishing = this.#overlay;
    this.#overlay = this.#freshOverlay();
    this.#isDirty = false;
    const layer = this.#publishing;
    const taken = { size: this.#size, baseSize: this.#baseSize, baseLimit: this.#baseLimit, mtime: this.#mtime };
    for (const segment of layer.segments) if (segment.chunk !== undefined) segment.chunk.isFrozen = true;
    try {
      while (this.#uploads.size > 0) await Promise.all(this.#uploads);
      this.#throwUploadError();
      await this.#publishLayer(layer, taken);
      this.#publishing = undefined;
      this.#baseLimit = Infinity;
      this.#isRebased = false;
      this.#published();
    } catch (error) {
      this.#putBack(layer);
      if (!isNokvError(error, 'not-found')) throw error;
      // Removed by someone else: nothing is left to publish to, as with a file that is unlinked while it is open.
      this.node.isGone = true;
    }
  }

  /** The new body is the base, unless somebody published after it already. */
  #published(): void {
    const base = this.#base;
    if (base === undefined) return;
    this.#baseSize = bodySize(base.body);
    if (this.#foreignGeneration > base.generation) this.#dropBase();
    this.#foreignGeneration = 0;
  }

  #putBack(layer: Overlay): void {
    const newer = this.#overlay;
    layer.cover(newer);
    for (const { chunk } of layer.segments) if (chunk !== undefined && chunk.piece === undefined) chunk.isFrozen = false;
    this.#overlay = layer;
    this.#publishing = undefined;
    this.#isDirty = true;
  }

  async #publishLayer(layer: Overlay, given: Taken): Promise<void> {
    const { bodies } = this.context;
    let taken = given;
    for (let attempt = 0; ; attempt++) {
      if (taken.baseLimit > 0) await this.load();
      if (this.#isRebased) taken = this.#onNewBase(layer, taken, given);
      const isInline = taken.size <= bodies.inlineBytesMax;
      if (!isInline) await this.#sealForPublish(layer, taken.size);
      try {
        return await this.#sendPublish(isInline ? await this.#inlineBody(taken.size) : this.#blocksBody(taken.size), taken);
      } catch (error) {
        if (!isNokvError(error, 'generation-mismatch') || attempt >= REBASES_MAX) throw error;
        // Another client published in between: the written ranges go over its body.
        this.#dropBase();
      }
    }
  }

  /** Unless it was truncated here, the file is as long as the new body, or as what was written reaches. */
  #onNewBase(layer: Overlay, taken: Taken, given: Taken): Taken {
    if (given.baseLimit !== Infinity || this.#base === undefined) return taken;
    const written = layer.segments.at(-1)?.end ?? 0;
    const size = Math.max(written, bodySize(this.#base.body), given.size > given.baseSize ? given.size : 0);
    if (this.#size === taken.size) this.#size = size;
    return { ...taken, size };
  }

  async #sendPublish(body: Body, taken: Taken): Promise<void> {
    const { node, context } = this;
    const base = this.#base;
    const lease = this.#lease;
    assert(base !== undefined || taken.baseLimit === 0, 'a publish that shows bytes of its base knows the base');
    const { result } = await context.mutate('publish', {
      node: { ino: node.ino },
      body,
      uid: node.attributes.uid,
      gid: node.attributes.gid,
      mode: node.attributes.mode,
      // A body that shows nothing of the base replaces whatever is there.
      ...(taken.baseLimit > 0 && base !== undefined && base.generation > 0 ? { ifGeneration: base.generation } : {}),
      ...(taken.mtime === undefined ? {} : { mtime: taken.mtime }),
      ...(lease === undefined ? {} : { upload: lease.upload, endUpload: !lease.isShared, packed: true }),
    });
    this.#setBase(result.generation, body);
    if (lease !== undefined) context.leases.release(lease, !lease.isShared);
    this.#lease = undefined;
    node.pageGeneration = result.generation;
    if (result.attributes.revision >= node.attributes.revision) node.attributes = result.attributes;
  }

  /** Moves what is in memory to blocks, under the lease that the file has, else the shared one when it is little. */
  async #sealForPublish(layer: Overlay, size: number): Promise<void> {
    await this.#compact(layer, size);
    if (layer.memoryBytes() > 0) {
      const isLittle = layer.memoryBytes() <= this.context.bodies.blockBytes;
      this.#lease ??= isLittle ? await this.context.leases.share() : await this.#ownLease();
      await sealOverlay(this.context, layer, this.#lease);
    }
  }

  /** Writes anew, as memory of the layer, what would show as too many extents or lies inline in the base. */
  async #compact(layer: Overlay, size: number): Promise<void> {
    const { blockBytes } = this.context.bodies;
    const body = this.#base?.body;
    for (let start = 0; start < size; start += blockBytes) {
      const end = Math.min(start + blockBytes, size);
      const index = layer.firstAfter(start);
      const isTouched = (layer.segments[index]?.start ?? Infinity) < end;
      const parts = this.#layoutOfPublish(start, end);
      const inlineParts = body?.kind === 'inline' ? parts.filter((part) => part.kind === 'base') : [];
      if (!isTouched && inlineParts.length === 0) continue;
      const extents = parts.reduce(
        (sum, part) => sum + (part.kind === 'base' && body?.kind === 'blocks' ? this.#extentsOf(part).length : 1),
        0,
      );
      const anew = extents > EXTENTS_PER_BLOCK_MAX ? parts.filter((part) => part.kind !== 'zeros') : inlineParts;
      for (const part of anew) {
        const bytes = copyOf(this.#inMemory(part)) ?? Buffer.concat(await this.#fetch(part));
        layer.write(part.start, bytes);
      }
    }
  }

  /** The layout without what was written since the publish began. */
  #layoutOfPublish(start: number, end: number): Part[] {
    const overlay = this.#overlay;
    this.#overlay = this.#freshOverlay();
    try {
      return this.#layout(start, end);
    } finally {
      this.#overlay = overlay;
    }
  }

  async #inlineBody(size: number): Promise<Body> {
    const chunks = await this.#gather(this.#layoutOfPublish(0, size));
    return { kind: 'inline', bytes: Buffer.concat(chunks) };
  }

  #blocksBody(size: number): Body {
    const extents = joinExtents(this.#layoutOfPublish(0, size).flatMap((part) => this.#extentsOf(part)));
    return { kind: 'blocks', manifest: { size, extents } };
  }

  /** The file is gone and closed: what was uploaded for it is left to the sweep. */
  abandon(): void {
    if (this.#lease !== undefined) this.context.leases.release(this.#lease, false);
    this.#lease = undefined;
    this.#overlay = this.#freshOverlay();
    this.#isDirty = false;
  }

  #freshOverlay(): Overlay {
    return new Overlay(this.context.bodies.blockBytes, (bytes) => this.context.buffers.take(bytes));
  }
}

/** A copy of its own: `slice` of a Buffer would be a view. */
function copyOf(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes);
}
