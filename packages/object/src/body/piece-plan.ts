/** Which pieces are read together: neighbours in one block whose gap costs less to fetch than another request. */
import type { Piece } from '@nokv/types';
import type { BodyPart } from './body-parts.js';

/** Which part of a piece goes where. */
export interface PieceUse {
  readonly piece: Piece;
  readonly parts: { readonly range: number; readonly at: number; readonly part: BodyPart; readonly path: string | undefined }[];
}

/** At the rates of object stores these bytes take about as long as the latency of a request. */
export const MERGE_GAP_BYTES_MAX = 256 * 1024;
/** One get of merged pieces, gaps included: as much as a block. */
export const MERGED_BYTES_MAX = 4 * 1024 * 1024;

/** @param isNear what is in memory or on the disk joins no group. */
export async function planPieces(uses: ReadonlyMap<string, PieceUse>, isNear: (piece: Piece) => Promise<boolean>): Promise<PieceUse[][]> {
  const groups: PieceUse[][] = [];
  const far: PieceUse[] = [];
  for (const use of uses.values()) {
    if (uses.size > 1 && !(await isNear(use.piece))) far.push(use);
    else groups.push([use]);
  }
  far.sort(({ piece: a }, { piece: b }) => (a.upload < b.upload ? -1 : a.upload > b.upload ? 1 : a.index - b.index || a.offset - b.offset));
  let group: PieceUse[] = [];
  let start = 0;
  let end = 0;
  for (const use of far) {
    const { upload, index, offset, length } = use.piece;
    const last = group.at(-1)?.piece;
    const isNeighbour = last !== undefined && last.upload === upload && last.index === index && offset - end <= MERGE_GAP_BYTES_MAX;
    if (isNeighbour && Math.max(end, offset + length) - start <= MERGED_BYTES_MAX) {
      group.push(use);
      end = Math.max(end, offset + length);
      continue;
    }
    group = [use];
    groups.push(group);
    start = offset;
    end = offset + length;
  }
  return groups;
}
