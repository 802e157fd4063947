/**
 * Packs many small bodies into shared blocks, so that ten thousand files cost hundreds of puts.
 *
 * `add` resolves when the block that holds the body is stored. A block is sent when the next body does not fit, and
 * by `flush`: whoever awaits an `add` without adding more calls `flush` first.
 */
import { setMaxListeners } from 'node:events';
import { BLOCK_BYTES_DEFAULT, INLINE_BYTES_MAX, NokvError, type Body, type Piece } from '@nokv/types';
import { crc32c } from '../block-checksum.js';
import { digestOf } from './body-digest.js';
import type { CompressedBytes } from './compression.js';
import { checksumsOf } from './piece-chunks.js';
import { InFlight, UPLOAD_PARALLEL_DEFAULT, isZero, type UploadedBody } from './upload-body.js';
import type { UploadSession } from './upload-session.js';

export interface PackedUploadOptions {
  readonly session: UploadSession;
  readonly signal?: AbortSignal | undefined;
  readonly parallel?: number | undefined;
  readonly blockBytes?: number | undefined;
  readonly inlineBytesMax?: number | undefined;
}

interface Segment {
  readonly index: number;
  readonly bytes: Uint8Array;
  filled: number;
  readonly stored: PromiseWithResolvers<void>;
}

export class PackedUpload {
  readonly #session: UploadSession;
  readonly #signal: AbortSignal | undefined;
  readonly #blockBytes: number;
  readonly #inlineBytesMax: number;
  readonly #puts: InFlight;
  #segment: Segment | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(options: PackedUploadOptions) {
    this.#session = options.session;
    this.#signal = options.signal;
    // Every put listens to it.
    if (options.signal !== undefined) setMaxListeners(0, options.signal);
    this.#blockBytes = options.blockBytes ?? BLOCK_BYTES_DEFAULT;
    this.#inlineBytesMax = options.inlineBytesMax ?? INLINE_BYTES_MAX;
    this.#puts = new InFlight(options.parallel ?? UPLOAD_PARALLEL_DEFAULT);
  }

  /**
   * Bodies up to a block's size; the bytes are copied before this returns. `accepted` gives back-pressure. What was compressed before is
   * stored in that form.
   */
  add(bytes: Uint8Array, compressed?: CompressedBytes): { readonly accepted: Promise<void>; readonly stored: Promise<UploadedBody> } {
    const size = bytes.length;
    if (size > this.#blockBytes) {
      throw new NokvError(
        'invalid-argument',
        `expected a body of at most ${this.#blockBytes} bytes to pack, found ${size}; use uploadBody`,
      );
    }
    const digest = digestOf(bytes);
    const plain = (body: Body) => ({ accepted: Promise.resolve(), stored: Promise.resolve({ body, size, digest }) });
    if (size <= this.#inlineBytesMax) return plain({ kind: 'inline', bytes: Uint8Array.from(bytes) });
    if (isZero(bytes)) return plain({ kind: 'blocks', manifest: { size, extents: [{ hole: true, take: size }] } });
    const form = compressed?.bytes ?? bytes;
    const { segment, accepted } = this.#place(form);
    const offset = segment.filled - form.length;
    const checksums = compressed === undefined ? checksumsOf(form) : { crc32c: crc32c(form), compression: compressed.compression };
    const stored = segment.stored.promise.then(async (): Promise<UploadedBody> => {
      const { upload } = await this.#session.grant();
      const piece: Piece = { upload, index: segment.index, offset, length: form.length, ...checksums, skip: 0, take: size };
      return { body: { kind: 'blocks', manifest: { size, extents: [piece] } }, size, digest };
    });
    stored.catch(() => undefined); // Its reader may await `accepted` first, which fails alike.
    return { accepted, stored };
  }

  /** Sends what is packed; resolves when every block is stored. */
  async flush(): Promise<void> {
    await this.#send();
    await this.#puts.drain();
  }

  #place(bytes: Uint8Array): { segment: Segment; accepted: Promise<void> } {
    let accepted = Promise.resolve();
    if (this.#segment !== undefined && this.#segment.filled + bytes.length > this.#blockBytes) accepted = this.#send();
    this.#segment ??= newSegment(this.#session.takeIndex(), this.#blockBytes);
    this.#segment.bytes.set(bytes, this.#segment.filled);
    this.#segment.filled += bytes.length;
    return { segment: this.#segment, accepted };
  }

  /** Resolves when the segment's put has started: there it waits while too many are in flight. */
  #send(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return this.#sending;
    this.#segment = undefined;
    this.#sending = this.#sending.then(() => this.#start(segment));
    this.#sending.catch((error: unknown) => segment.stored.reject(error));
    return this.#sending;
  }

  async #start(segment: Segment): Promise<void> {
    const { upload, ticket } = await this.#session.grant();
    const block = segment.bytes.subarray(0, segment.filled);
    await this.#puts.start(async () => {
      try {
        await this.#session.store.putBlock(upload, segment.index, block, { crc32c: crc32c(block), ticket, signal: this.#signal });
        segment.stored.resolve();
      } catch (error) {
        segment.stored.reject(error);
        throw error;
      }
    });
  }
}

function newSegment(index: number, bytes: number): Segment {
  const stored = withResolvers<void>();
  stored.promise.catch(() => undefined);
  return { index, bytes: Buffer.allocUnsafeSlow(bytes), filled: 0, stored };
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  return { promise, resolve, reject };
}
