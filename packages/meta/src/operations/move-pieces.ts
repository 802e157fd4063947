/**
 * move-pieces: bodies name copies of pieces in place of the pieces. Generation, digest and attributes stay as they are; superseded bodies,
 * which snapshots and the past show, move like current ones. A body that is gone by now, or names other pieces, is left alone.
 */
import { NokvError, isHole, type Body, type Extent, type Piece } from '@nokv/types';
import type { InternalCommand } from '../command.js';
import type { Transaction } from '../transaction.js';
import { addReferences, closeUpload, dropReferences } from './extents.js';
import { liveUpload } from './upload.js';

type MoveCommand = Extract<InternalCommand, { operation: 'move-pieces' }>;

export function movePieces(transaction: Transaction, { args, retention }: MoveCommand): void {
  const { upload, bodies, moves, isLast } = args;
  if (liveUpload(transaction, upload) === undefined) throw new NokvError('no-upload', `upload ${upload} is not open (any more)`);
  const to = new Map(moves.map((move) => [placeOf(move.from), move]));
  // Whoever opened a body before it was moved has as long as the reader of one that is superseded.
  const patient = { ...retention, extentMs: Math.max(retention.extentMs, retention.bodyMs) };
  for (const { ino, generation } of bodies) {
    const row = transaction.body(ino, generation);
    if (row === undefined || row.body.kind === 'inline') continue;
    const { size, extents } = row.body.manifest;
    const moved = extents.map((extent): Extent => {
      const move = isHole(extent) ? undefined : to.get(placeOf(extent));
      return move === undefined ? extent : { ...(extent as Piece), upload, index: move.index, offset: move.offset };
    });
    if (moved.every((extent, at) => extent === extents[at])) continue;
    const body: Body = { kind: 'blocks', manifest: { size, extents: moved } };
    addReferences(transaction, body);
    dropReferences(transaction, row.body, patient);
    transaction.copyBody(ino, generation, { ...row, body });
  }
  if (isLast) closeUpload(transaction, upload, retention);
}

/** What is copied as one: where it lies and what it holds. */
export function placeOf({
  upload,
  index,
  offset,
  length,
  crc32c,
}: Pick<Piece, 'upload' | 'index' | 'offset' | 'length' | 'crc32c'>): string {
  return `${upload}/${index}/${offset}/${length}/${crc32c}`;
}
