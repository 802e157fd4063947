/**
 * Copies what is left of sparse uploads into new blocks and makes the bodies name the copies, so that the old blocks go. Bounded in bytes a
 * call; what is not done is found again. Every piece is compared with its checksum before it is copied: a damaged one stays where it is,
 * for a check to name.
 *
 * The new upload has a row before its first byte, as every upload: a crash leaves what the sweep of uploads removes.
 */
import { placeOf, type MovedPiece, type NamingBody, type ShardEngine, type SparseUpload } from '@nokv/meta';
import { crc32c, type ObjectStore } from '@nokv/object';
import {
  BLOCK_BYTES_DEFAULT,
  ID_RANDOM_BYTES,
  blockKey,
  isNokvError,
  makeRequestId,
  type Clock,
  type Piece,
  type Random,
  type UploadId,
} from '@nokv/types';
import type { Logger } from './logger.js';

export interface CompactionParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
}

export interface Compacted {
  readonly bodies: number;
  readonly bytes: number;
}

/** Of one call, and of one new upload: a command holds about a thousand bodies. */
const COPIED_BYTES_MAX = 256 * 1024 * 1024;
const UPLOAD_BYTES_MAX = 64 * 1024 * 1024;
const BODIES_MAX = 1000;
const UPLOADS_MAX = 64;
/** Pieces that are read at once. */
const READS_AT_ONCE = 8;
const TTL_MS = 3600 * 1000;

export async function compact(parts: CompactionParts, sparse: readonly SparseUpload[]): Promise<Compacted> {
  const { engine, signal } = parts;
  const uploads = new Set(
    [...sparse]
      .sort((a, b) => b.storedBytes - b.namedBytes - (a.storedBytes - a.namedBytes))
      .slice(0, UPLOADS_MAX)
      .map(({ upload }) => upload),
  );
  if (uploads.size === 0) return { bodies: 0, bytes: 0 };
  const done = { bodies: 0, bytes: 0 };
  let group: NamingBody[] = [];
  let groupBytes = 0;
  const flush = async (): Promise<void> => {
    if (group.length > 0) {
      const { bodies, bytes } = await move(parts, group);
      done.bodies += bodies;
      done.bytes += bytes;
    }
    group = [];
    groupBytes = 0;
  };
  for await (const body of engine.bodiesNaming(uploads, signal)) {
    const bytes = body.pieces.reduce((sum, { length }) => sum + length, 0);
    if (groupBytes + bytes > UPLOAD_BYTES_MAX || group.length >= BODIES_MAX) await flush();
    if (done.bytes >= COPIED_BYTES_MAX) return done;
    group.push(body);
    groupBytes += bytes;
  }
  await flush();
  return done;
}

async function move(parts: CompactionParts, bodies: readonly NamingBody[]): Promise<Compacted> {
  const { engine, log } = parts;
  const upload = await begin(parts);
  try {
    const { moves, bytes } = await copyPieces(parts, upload, bodies);
    await engine.movePieces({ upload, isLast: true, bodies: bodies.map(({ ino, generation }) => ({ ino, generation })), moves });
    log.info({ upload, bodies: bodies.length, bytes }, 'moved bodies together');
    return { bodies: bodies.length, bytes };
  } catch (error) {
    // A courtesy: it expires by itself.
    await mutate(parts, 'end-upload', { upload }).catch(() => undefined);
    throw error;
  }
}

async function begin(parts: CompactionParts): Promise<UploadId> {
  const { result } = await mutate(parts, 'begin-upload', { target: '(bodies moved together)', ttlMs: TTL_MS });
  return result.upload;
}

function mutate<Op extends 'begin-upload' | 'end-upload'>(
  { engine, clock, random }: CompactionParts,
  operation: Op,
  args: Parameters<ShardEngine['mutate']>[1] & object,
) {
  const requestId = makeRequestId(clock.nowMs(), random.bytes(ID_RANDOM_BYTES));
  return engine.mutate<Op>(operation, args as never, { requestId, actor: 'nokv', acknowledgement: 'durable' });
}

async function copyPieces(
  { engine, store, signal, log }: CompactionParts,
  upload: UploadId,
  bodies: readonly NamingBody[],
): Promise<{ readonly moves: readonly MovedPiece[]; readonly bytes: number }> {
  const moves: MovedPiece[] = [];
  let block: Uint8Array[] = [];
  let blockBytes = 0;
  let index = 0;
  let bytes = 0;
  const put = async (): Promise<void> => {
    if (blockBytes === 0) return;
    const whole = Buffer.concat(block);
    engine.mustServe();
    await store.putIfAbsent(blockKey(upload, index), whole, { crc32c: crc32c(whole), signal });
    bytes += whole.length;
    index += 1;
    block = [];
    blockBytes = 0;
  };
  const pieces = distinct(bodies);
  for (let at = 0; at < pieces.length; at += READS_AT_ONCE) {
    const some = pieces.slice(at, at + READS_AT_ONCE);
    const read = await Promise.all(some.map((piece) => readPiece(store, piece, signal)));
    for (const [i, piece] of some.entries()) {
      const found = read[i];
      if (found === undefined) {
        log.error({ key: blockKey(piece.upload, piece.index), offset: piece.offset }, 'a piece is damaged or missing; it is not moved');
        continue;
      }
      if (blockBytes + found.length > BLOCK_BYTES_DEFAULT) await put();
      const { upload: from, index: fromIndex, offset, length, crc32c: checksum } = piece;
      moves.push({ from: { upload: from, index: fromIndex, offset, length, crc32c: checksum }, index, offset: blockBytes });
      block.push(found);
      blockBytes += found.length;
    }
  }
  await put();
  return { moves, bytes };
}

/** In the order in which they lie in their blocks. */
function distinct(bodies: readonly NamingBody[]): Piece[] {
  const pieces = new Map<string, Piece>();
  for (const body of bodies) {
    for (const piece of body.pieces) {
      pieces.set(placeOf(piece), piece);
    }
  }
  return [...pieces.values()].sort(
    (a, b) => (a.upload < b.upload ? -1 : a.upload > b.upload ? 1 : 0) || a.index - b.index || a.offset - b.offset,
  );
}

async function readPiece(store: ObjectStore, { upload, index, offset, length, crc32c: checksum }: Piece, signal: AbortSignal | undefined) {
  try {
    const bytes = await store.get(blockKey(upload, index), { offset, length, signal });
    return crc32c(bytes) === checksum ? bytes : undefined;
  } catch (error) {
    if (isNokvError(error, 'no-object') || isNokvError(error, 'corrupt')) return undefined;
    throw error;
  }
}
