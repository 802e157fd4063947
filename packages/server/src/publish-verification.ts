/**
 * What a publish says of its new blocks is checked against the store before the command is formed: each block that the
 * upload is said to hold exists, is as long as its pieces say, and has the checksum that they say. Pieces of other uploads are reused
 * ones; the engine checks those against the manifests of `base`, inside the commit.
 *
 * The checksum is the one that the store keeps, which covers the whole block. A directory keeps none: pieces are read back from it, all of
 * them up to 64 MiB, of larger bodies as many spread evenly, since reading a gigabyte again would cost as much as writing it. Pieces of packed
 * blocks behind a store that keeps checksums are compared by length alone: reading them back would cost a request for each small
 * file. Readers compare every piece with its checksum in any case.
 *
 * Errors: `bad-upload` (a piece that cannot be, a block that is too short, too long or has other bytes), `no-object` (missing).
 */
import { crc32c, formatCrc32c, type ObjectHead, type ObjectStore } from '@nokv/object';
import {
  NokvError,
  UPLOAD_BLOCKS_MAX,
  blockKey,
  isHole,
  plainLength,
  uploadId,
  type Manifest,
  type Piece,
  type UploadId,
} from '@nokv/types';
import { inLanes } from './lanes.js';

/** What is asked of the store. */
export type VerifiedStore = Pick<ObjectStore, 'head' | 'get'>;

export interface NewBlocks {
  readonly upload: UploadId;
  readonly manifest: Manifest;
  /** Blocks hold other bytes too: their ends are not compared. */
  readonly packed?: boolean | undefined;
}

export interface VerifyOptions {
  /** Whether a read of the store is a read of a local file. */
  readonly readsBack: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Requests to the store that one publish keeps in flight. */
const HEADS_AT_ONCE = 32;
/** Bytes that one publish reads back. */
const READ_BACK_BYTES_MAX = 64 * 1024 * 1024;
/** Blocks that one publish holds in memory. */
const READS_AT_ONCE = 4;

type PieceOfBlock = Pick<Piece, 'offset' | 'length' | 'crc32c'>;

export async function verifyNewBlocks(store: VerifiedStore, blocks: NewBlocks, options: VerifyOptions): Promise<void> {
  const { upload, manifest, packed = false } = blocks;
  const { readsBack, signal } = options;
  const named = [...piecesByBlock(manifest, upload)];
  const every = readsBack ? Math.max(1, Math.ceil(bytesOf(named) / READ_BACK_BYTES_MAX)) : 0;
  await inLanes(named, readsBack ? READS_AT_ONCE : HEADS_AT_ONCE, async ([index, pieces], at) => {
    const key = blockKey(upload, index);
    const head = await store.head(key, { signal });
    if (head === undefined) {
      throw new NokvError('no-object', `block ${index} of upload ${upload} is not in the store; send it, then publish again`, {
        details: { index },
      });
    }
    const end = pieces.reduce((last, { offset, length }) => Math.max(last, offset + length), 0);
    if (head.size < end) throw otherBlock(upload, index, `at least ${end} bytes`, `${head.size}`, { expected: end, found: head.size });
    if (head.size > end && !packed) throw otherBlock(upload, index, `${end} bytes`, `${head.size}`, { expected: end, found: head.size });
    for (const piece of pieces) {
      const found = await checksumOf(store, key, head, piece, { readsBack: readsBack && at % every === 0, signal });
      if (found === undefined || found === piece.crc32c) continue;
      throw otherBlock(upload, index, `bytes with crc32c ${formatCrc32c(piece.crc32c)}`, formatCrc32c(found), {});
    }
  });
}

/** Looks each block up once, however many publishes of a batch name it: bodies of small files share theirs. */
export function lookingOnce(store: VerifiedStore): VerifiedStore {
  const heads = new Map<string, Promise<ObjectHead | undefined>>();
  return {
    get: (key, options) => store.get(key, options),
    head(key, options) {
      const asked = heads.get(key) ?? store.head(key, options);
      heads.set(key, asked);
      return asked;
    },
  };
}

/** Undefined where it cannot be had for little. */
async function checksumOf(
  store: VerifiedStore,
  key: string,
  head: ObjectHead,
  { offset, length }: PieceOfBlock,
  { readsBack, signal }: VerifyOptions,
): Promise<number | undefined> {
  if (head.crc32c !== undefined && offset === 0 && length === head.size) return head.crc32c;
  if (!readsBack) return undefined;
  return crc32c(await store.get(key, { offset, length, signal }));
}

function otherBlock(
  upload: UploadId,
  index: number,
  expected: string,
  found: string,
  numbers: { readonly expected?: number; readonly found?: number },
): NokvError {
  return new NokvError(
    'bad-upload',
    `block ${index} of upload ${upload}: expected ${expected}, found ${found}; send it under a fresh index, then publish that one`,
    { details: { index, ...numbers } },
  );
}

function bytesOf(named: readonly (readonly [index: number, pieces: readonly PieceOfBlock[]])[]): number {
  return named.reduce((sum, [, pieces]) => pieces.reduce((bytes, { length }) => bytes + length, sum), 0);
}

/** The distinct pieces of each block of the upload that the manifest names. */
function piecesByBlock(manifest: Manifest, upload: UploadId): Map<number, PieceOfBlock[]> {
  const blocks = new Map<number, PieceOfBlock[]>();
  const seen = new Set<string>();
  let size = 0;
  for (const extent of manifest.extents) {
    requireThat(isCount(extent.take) && extent.take > 0, 'an extent shows at least 1 byte');
    size += extent.take;
    if (isHole(extent)) continue;
    uploadId(extent.upload);
    requireThat(isCount(extent.index) && extent.index < UPLOAD_BLOCKS_MAX, 'a block index is below 1,000,000');
    requireThat(isCount(extent.offset) && isCount(extent.length) && isCount(extent.skip), 'offsets and lengths are whole numbers');
    requireThat(Number.isSafeInteger(extent.offset + extent.length), 'a piece lies inside a block');
    requireThat(extent.skip + extent.take <= plainLength(extent), 'an extent shows bytes of its own piece only');
    requireThat(isCount(extent.crc32c) && extent.crc32c <= 0xffffffff, 'a checksum has 32 bits');
    if (extent.upload !== upload) continue;
    const { index, offset, length, crc32c: checksum } = extent;
    const name = `${index}/${offset}/${length}/${checksum}`;
    if (seen.has(name)) continue;
    seen.add(name);
    const pieces = blocks.get(index);
    if (pieces === undefined) blocks.set(index, [{ offset, length, crc32c: checksum }]);
    else pieces.push({ offset, length, crc32c: checksum });
  }
  requireThat(size === manifest.size, `the extents show ${size} bytes of the ${manifest.size} that the manifest states`);
  return blocks;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function requireThat(condition: boolean, rule: string): void {
  if (!condition) throw new NokvError('bad-upload', `this manifest cannot be: ${rule}`);
}
