/**
 * Sends one body: small ones become inline bytes, others blocks put in parallel while the next is read and hashed.
 *
 * Memory is bounded by `parallel + 2` block buffers. On a failure nothing more is started, what is in flight is
 * awaited, and the first error is thrown; blocks that were written stay for the sweep of the upload: nobody here
 * deletes, because after an ambiguous failure only the request id of the publish decides.
 */
import {
  BLOCK_BYTES_DEFAULT,
  INLINE_BYTES_MAX,
  NokvError,
  joinExtents,
  type Body,
  type Codec,
  type Extent,
  type Piece,
  type UploadId,
} from '@nokv/types';
import { crc32c } from '../block-checksum.js';
import { linkedSignal, orAborted, throwIfAborted } from '../cancellation.js';
import { BlockBuffers } from './block-buffers.js';
import { LOCAL_DIGEST_BYTES_MAX, digestOf, localDigest, sharedDigest, type BodyDigest } from './body-digest.js';
import { compressPiece } from './compression.js';
import { byteSourceOf, type BodySource, type ByteSource } from './byte-source.js';
import { checksumsOf, thinChunks, type PieceChecksum } from './piece-chunks.js';
import type { UploadSession } from './upload-session.js';

export interface UploadBodyOptions {
  readonly session: UploadSession;
  readonly signal?: AbortSignal | undefined;
  /** Puts in flight; default 8. */
  readonly parallel?: number | undefined;
  readonly blockBytes?: number | undefined;
  readonly inlineBytesMax?: number | undefined;
  /** `sha256` (default) of the whole body, or `none`. */
  readonly digest?: 'sha256' | 'none' | undefined;
  /** Blocks that get shorter by it are stored compressed. */
  readonly compress?: Codec | undefined;
  /** Called with the bytes of the source that are stored so far, after each block. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** For an upload that may be gone on with. */
  readonly resume?: ResumeHooks | undefined;
}

/**
 * The body has the upload to itself, and each block the number of its place. So a block that was on its way when an earlier run ended
 * is met again under its own number, and no other is left behind.
 */
export interface ResumeHooks {
  /** As what this very block was stored before: it is not sent again. */
  storedBefore(block: BlockPlace): StoredBlock | undefined;
  /** Called when a block is stored; the body waits for it. */
  stored(block: BlockPlace, as: StoredBlock): Promise<void>;
}

/** Where in the body a block begins, and what is in it. */
export interface BlockPlace {
  readonly position: number;
  readonly length: number;
  readonly crc32c: number;
}

/** What lies in the store for it. */
export type StoredBlock = Pick<Piece, 'length' | 'crc32c' | 'compression'>;

export interface UploadedBody {
  readonly body: Body;
  readonly size: number;
  readonly digest: string | undefined;
}

export const UPLOAD_PARALLEL_DEFAULT = 8;

export async function uploadBody(source: BodySource, options: UploadBodyOptions): Promise<UploadedBody> {
  const { inlineBytesMax = INLINE_BYTES_MAX, digest = 'sha256' } = options;
  const bytes = byteSourceOf(source);
  const link = linkedSignal(options.signal);
  try {
    if (bytes.take !== undefined && (bytes.sizeHint ?? 0) > inlineBytesMax)
      return await uploadBlocks(bytes, { ...options, signal: link.signal });
    const head = new Uint8Array(inlineBytesMax + 1);
    const filled = await orAborted(bytes.read(head), link.signal);
    if (filled <= inlineBytesMax) {
      const body = head.slice(0, filled);
      options.onProgress?.(filled);
      return { body: { kind: 'inline', bytes: body }, size: filled, digest: digest === 'none' ? undefined : digestOf(body) };
    }
    return await uploadBlocks(withHead(head, bytes), { ...options, signal: link.signal });
  } finally {
    link.release();
    await bytes.close();
  }
}

async function uploadBlocks(source: ByteSource, options: UploadBodyOptions): Promise<UploadedBody> {
  const { session, signal, parallel = UPLOAD_PARALLEL_DEFAULT, blockBytes = BLOCK_BYTES_DEFAULT, compress, onProgress } = options;
  const buffers = new BlockBuffers(parallel + 2, firstBufferBytes(source.sizeHint, blockBytes), blockBytes);
  const puts = new InFlight(parallel);
  const extents: Extent[] = [];
  let hash: BodyDigest | undefined;
  let size = 0;
  let stored = 0;
  try {
    for (let ended = false; !ended;) {
      throwIfAborted(signal);
      const lent = source.take?.(blockBytes);
      const buffer = lent ?? (await buffers.take());
      const release = (): void => {
        if (lent === undefined) buffers.release(buffer);
      };
      const filled = lent === undefined ? await orAborted(source.read(buffer), signal) : lent.length;
      // A first buffer cut to the hint is full at the end of the body, too: one more read finds out.
      ended = lent === undefined ? filled < buffer.length : size + filled >= (source.sizeHint ?? 0);
      if (filled === 0) {
        release();
        break;
      }
      const block = buffer.subarray(0, filled);
      const local = ended && size === 0 && filled <= LOCAL_DIGEST_BYTES_MAX;
      size += filled;
      if (options.digest !== 'none') hash ??= local ? localDigest() : sharedDigest();
      const hashed = Promise.resolve(hash?.update(block));
      hashed.catch(() => undefined); // Looked at below, unless something else fails first.
      const written = (): void => {
        stored += filled;
        onProgress?.(stored);
      };
      if (isZero(block)) {
        extents.push({ hole: true, take: filled });
        await hashed;
        release();
        written();
        continue;
      }
      const checksums = checksumsOf(block);
      const checksum = checksums.crc32c;
      const place = { position: size - filled, length: filled, crc32c: checksum };
      const index = options.resume === undefined ? session.takeIndex() : session.indexAt(place.position / blockBytes);
      const { upload, ticket } = await session.grant();
      const noted = options.resume?.storedBefore(place);
      const at = extents.push(pieceOf(upload, index, noted ?? { length: filled, crc32c: checksum }, filled, checksums)) - 1;
      if (noted !== undefined) {
        await hashed;
        release();
        written();
        continue;
      }
      const put = async (): Promise<void> => {
        const packed = compress === undefined ? undefined : await compressPiece(block, compress, checksum);
        const bytes = packed?.bytes ?? block;
        const as: StoredBlock =
          packed === undefined
            ? { length: filled, crc32c: checksum }
            : { length: bytes.length, crc32c: crc32c(bytes), compression: packed.compression };
        extents[at] = pieceOf(upload, index, as, filled, checksums);
        await session.store.putBlock(upload, index, bytes, { crc32c: as.crc32c, ticket, signal });
        await options.resume?.stored(place, as);
      };
      await puts.start(async () => {
        const results = await Promise.allSettled([put(), hashed]);
        // Released after a failure too, so that the loop above never waits for a buffer that does not come.
        release();
        for (const result of results) if (result.status === 'rejected') throw result.reason;
        written();
      });
    }
    await puts.drain();
    return { body: { kind: 'blocks', manifest: { size, extents: thinChunks(joinExtents(extents)) } }, size, digest: await hash?.finish() };
  } catch (error) {
    hash?.abandon();
    await puts.settle();
    throw puts.failure ?? error;
  }
}

/** @param plain checksums of the bytes as they are shown: where they are stored so, parts of them can be read. */
function pieceOf(upload: UploadId, index: number, stored: StoredBlock, take: number, plain: PieceChecksum): Piece {
  return { upload, index, offset: 0, ...stored, ...(stored.compression === undefined ? plain : {}), skip: 0, take };
}

/** A body of known small size does not take a whole block of memory; one byte more than the hint shows its end. */
function firstBufferBytes(hint: number | undefined, blockBytes: number): number {
  return hint === undefined || hint <= 0 ? blockBytes : Math.min(blockBytes, Math.max(hint, INLINE_BYTES_MAX) + 1);
}

/** The source with the bytes that were read of it to see whether it is small. */
function withHead(head: Uint8Array, source: ByteSource): ByteSource {
  let rest = head;
  return {
    sizeHint: source.sizeHint,
    read: async (into) => {
      const part = rest.subarray(0, into.length);
      into.set(part);
      rest = rest.subarray(part.length);
      return part.length === into.length ? part.length : part.length + (await source.read(into.subarray(part.length)));
    },
    close: () => source.close(),
  };
}

const ZEROS = Buffer.alloc(64 * 1024);

/** Whether every byte is zero: such a block becomes a hole. */
export function isZero(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0 || bytes[bytes.length - 1] !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (ZEROS.compare(part, 0, part.length, 0, part.length) !== 0) return false;
  }
  return true;
}

/** At most `limit` tasks at once; the first failure stops new ones. */
export class InFlight {
  readonly #limit: number;
  readonly #running = new Set<Promise<void>>();
  failure: NokvError | undefined;

  constructor(limit: number) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new NokvError('invalid-argument', `expected a parallelism of at least 1, found ${limit}`);
    this.#limit = limit;
  }

  /** Resolves when the task has started; throws what an earlier one failed with. */
  async start(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit && this.failure === undefined) await Promise.race(this.#running);
    if (this.failure !== undefined) throw this.failure;
    const running = task().then(
      () => void this.#running.delete(running),
      (error: unknown) => {
        this.#running.delete(running);
        this.failure ??=
          error instanceof NokvError ? error : new NokvError('internal', String(error), { outcome: 'unknown', cause: error });
      },
    );
    this.#running.add(running);
  }

  async drain(): Promise<void> {
    await this.settle();
    if (this.failure !== undefined) throw this.failure;
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }
}
