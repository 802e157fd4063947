/**
 * What a publish says of its new blocks is checked against the store before the command is formed: each block that the
 * upload is said to hold exists and is long enough for every piece of it. Pieces of other uploads are reused ones; the
 * engine checks those against the manifests of `base`, inside the commit.
 *
 * Errors: `bad-upload` (a piece that cannot be), `no-object` (missing), `bad-upload` (short).
 */
import type { ObjectStore } from '@nokv/object';
import { NokvError, UPLOAD_BLOCKS_MAX, blockKey, isHole, uploadId, type Manifest, type UploadId } from '@nokv/types';

/** Requests to the store that one publish keeps in flight. */
const HEADS_AT_ONCE = 32;

export async function verifyNewBlocks(store: ObjectStore, upload: UploadId, manifest: Manifest, signal?: AbortSignal): Promise<void> {
  const needed = [...neededBytes(manifest, upload)];
  let next = 0;
  async function checkInTurn(): Promise<void> {
    while (next < needed.length) {
      const [index, bytes] = needed[next++] as [number, number];
      const head = await store.head(blockKey(upload, index), { signal });
      if (head === undefined) {
        throw new NokvError('no-object', `block ${index} of upload ${upload} is not in the store; send it, then publish again`, {
          details: { index },
        });
      }
      if (head.size < bytes) {
        throw new NokvError('bad-upload', `block ${index} of upload ${upload} should have at least ${bytes} bytes, found ${head.size}`, {
          details: { index, expected: bytes, found: head.size },
        });
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(HEADS_AT_ONCE, needed.length) }, checkInTurn));
}

/** Which blocks of the upload the manifest names, and how long each must be at least. */
function neededBytes(manifest: Manifest, upload: UploadId): Map<number, number> {
  const needed = new Map<number, number>();
  let size = 0;
  for (const extent of manifest.extents) {
    requireThat(isCount(extent.take) && extent.take > 0, 'an extent shows at least 1 byte');
    size += extent.take;
    if (isHole(extent)) continue;
    uploadId(extent.upload);
    requireThat(isCount(extent.index) && extent.index < UPLOAD_BLOCKS_MAX, 'a block index is below 1,000,000');
    requireThat(isCount(extent.offset) && isCount(extent.length) && isCount(extent.skip), 'offsets and lengths are whole numbers');
    requireThat(Number.isSafeInteger(extent.offset + extent.length), 'a piece lies inside a block');
    requireThat(extent.skip + extent.take <= extent.length, 'an extent shows bytes of its own piece only');
    requireThat(isCount(extent.crc32c) && extent.crc32c <= 0xffffffff, 'a checksum has 32 bits');
    if (extent.upload !== upload) continue;
    needed.set(extent.index, Math.max(needed.get(extent.index) ?? 0, extent.offset + extent.length));
  }
  requireThat(size === manifest.size, `the extents show ${size} bytes of the ${manifest.size} that the manifest states`);
  return needed;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function requireThat(condition: boolean, rule: string): void {
  if (!condition) throw new NokvError('bad-upload', `this manifest cannot be: ${rule}`);
}
