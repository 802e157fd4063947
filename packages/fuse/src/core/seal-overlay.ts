/**
 * Turns memory into blocks: chunks are packed, up to a block's size, into as few blocks as they need. Each chunk stays its own
 * piece with its own checksum, so that a range read of it fetches nothing else.
 */
import type { MountContext } from './mount-context.js';
import type { Chunk, Overlay } from './overlay.js';
import type { UploadLease } from './upload-leases.js';

/** Blocks that one flush keeps under way. */
const PARALLEL_BLOCKS = 4;

/** Uploads every chunk of the overlay that is still in memory. */
export async function sealOverlay(context: MountContext, overlay: Overlay, lease: UploadLease): Promise<void> {
  const chunks = new Set<Chunk>();
  for (const { chunk } of overlay.segments) if (chunk?.bytes !== undefined && chunk.piece === undefined) chunks.add(chunk);
  const groups = pack([...chunks], context.bodies.blockBytes);
  for (const chunk of chunks) chunk.isFrozen = true;
  const lane = async () => {
    for (let group = groups.shift(); group !== undefined; group = groups.shift()) await uploadBlock(context, lease, group);
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL_BLOCKS, groups.length) }, lane));
  for (const result of lanes) if (result.status === 'rejected') throw result.reason;
}

/** Stores one block with these chunks behind one another; afterwards they are pieces and their memory is free. */
export async function uploadBlock(context: MountContext, lease: UploadLease, chunks: readonly Chunk[]): Promise<void> {
  const { bodies, buffers } = context;
  const contents = chunks.map((chunk) => (chunk.bytes as Uint8Array).subarray(0, chunk.length));
  const [only] = contents;
  const block = contents.length === 1 && only !== undefined ? only : Buffer.concat(contents);
  const index = lease.nextIndex++;
  lease.bytes += block.length;
  const checksum = bodies.crc32c(block);
  await bodies.put(lease.upload, index, block, checksum, lease.ticket);
  let offset = 0;
  for (const [i, chunk] of chunks.entries()) {
    const content = contents[i] as Uint8Array;
    const crc32c = chunks.length === 1 ? checksum : bodies.crc32c(content);
    chunk.piece = { upload: lease.upload, index, offset, length: content.length, crc32c, skip: 0, take: content.length };
    offset += content.length;
    const memory = chunk.bytes as Uint8Array;
    chunk.bytes = undefined;
    buffers.give(memory);
  }
}

function pack(chunks: readonly Chunk[], blockBytes: number): Chunk[][] {
  const groups: Chunk[][] = [];
  let room = 0;
  for (const chunk of chunks) {
    const last = groups.at(-1);
    if (last === undefined || chunk.length > room) {
      groups.push([chunk]);
      room = blockBytes - chunk.length;
    } else {
      last.push(chunk);
      room -= chunk.length;
    }
  }
  return groups;
}
