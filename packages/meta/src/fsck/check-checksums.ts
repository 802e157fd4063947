/** Reads every piece of every stored body and compares its checksum; a digest of a body that lies in the metadata, too. */
import { createHash } from 'node:crypto';
import { blockKey, isHole, type Extent, type InodeNumber, type Piece } from '@nokv/types';
import { FAMILY, bodyKey, familyEnd, familyStart } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeBody, type BodyRow } from '../value-body.js';
import type { BlockInventory } from './block-inventory.js';
import type { FsckContext } from './context.js';

/** Reads that are under way at once. */
const READS_AT_ONCE = 8;

export async function* checkChecksums(
  context: FsckContext,
  store: BlockInventory,
  from: Uint8Array | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array | undefined> {
  for (const { key, value } of context.kv.range(from ?? familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    const ino = readU64(key, 1) as InodeNumber;
    const generation = readU64(key, 9);
    let row: BodyRow | undefined;
    try {
      row = decodeBody(value);
    } catch {
      // Named by the pass over bodies.
    }
    if (row?.body.kind === 'inline' && row.lost === undefined) checkInline(context, ino, generation, row.digest, row.body.bytes);
    if (row?.body.kind === 'blocks') {
      const pieces = row.body.manifest.extents.filter((extent: Extent): extent is Piece => !isHole(extent));
      for (let at = 0; at < pieces.length; at += READS_AT_ONCE) {
        await Promise.all(pieces.slice(at, at + READS_AT_ONCE).map((piece) => checkPiece(context, store, ino, generation, piece, signal)));
        yield undefined;
      }
    }
    yield key;
  }
}

function checkInline(context: FsckContext, ino: InodeNumber, generation: number, digest: string | undefined, bytes: Uint8Array): void {
  if (digest === undefined || !digest.startsWith('sha256:')) return;
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found === digest) return;
  context.report({
    severity: 'error',
    class: 'block-checksum',
    where: `body ${generation} of inode ${ino}`,
    ino,
    expected: digest,
    found,
  });
}

async function checkPiece(
  context: FsckContext,
  store: BlockInventory,
  ino: InodeNumber,
  generation: number,
  piece: Piece,
  signal: AbortSignal | undefined,
): Promise<void> {
  const found = await store.checksum(piece, signal);
  if (found === piece.crc32c) return;
  // A body that was forgotten meanwhile took its blocks along.
  if (context.live.get(bodyKey(ino, generation as Parameters<typeof bodyKey>[1])) === undefined) return;
  context.report({
    severity: 'error',
    class: 'block-checksum',
    where: `object ${blockKey(piece.upload, piece.index)}, ${piece.length} bytes from ${piece.offset}, in body ${generation} of inode ${ino}`,
    ino,
    expected: hex(piece.crc32c),
    found: found === undefined ? 'no such bytes' : hex(found),
  });
}

function hex(checksum: number): string {
  return `crc32c ${checksum.toString(16).padStart(8, '0')}`;
}
