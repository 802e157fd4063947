/**
 * Blocks that no body names, of uploads of which other blocks are named: one upload may carry the bodies of many files, and of a file that
 * was written in part the blocks that were replaced.
 *
 * Looked for in one state of the rows that stands still. What is unnamed there stays so: a new body takes pieces only from bodies that name
 * them and from an upload that is open, and this one is over. So whoever finds them may remove them, once those who had begun to read
 * have had their time. An unreadable row ends the search: nobody knows what it names.
 */
import { isHole, type Generation, type InodeNumber, type Piece, type UploadId } from '@nokv/types';
import type { BlockInventory, StoredBlock } from './fsck/block-inventory.js';
import { NeededBlocks } from './fsck/needed-blocks.js';
import { LEDGER, UPLOAD_BUCKETS, UploadWindow, uploadRanges } from './fsck/upload-window.js';
import { FAMILY, familyEnd, familyStart } from './key.js';
import type { KvReader } from './ordered-kv.js';
import { readU64 } from './row-reader.js';
import { decodeBody, uploadsNamed } from './value-body.js';

/** Rows between two turns of others. */
const SLICE_ROWS = 256;

export interface DeadBlocksParts {
  /** Stands still, and is the caller's to release. */
  readonly kv: KvReader;
  readonly store: Pick<BlockInventory, 'list'>;
  /** Lets others through; throws where the search is to end. */
  readonly pause: () => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** An upload whose blocks are mostly of bodies that are gone, with what its blocks take that are named and what of them is, at most. */
export interface SparseUpload {
  readonly upload: UploadId;
  readonly storedBytes: number;
  readonly namedBytes: number;
}

export type SpaceItem =
  | { readonly kind: 'dead'; readonly blocks: readonly StoredBlock[] }
  | { readonly kind: 'sparse'; readonly uploads: readonly SparseUpload[] };

/** Worth a copy: at most half of it is named, and so much is to be won. */
const SPARSE_SHARE = 0.5;
const SPARSE_BYTES_MIN = 1024 * 1024;
/** Told of one bucket: the next pass finds more. */
const SPARSE_MAX = 64;

/** Page after page. */
export async function* deadBlocks({ kv, store, pause, signal }: DeadBlocksParts): AsyncGenerator<SpaceItem, void> {
  for (const range of await inSlices(uploadRanges(kv, 0), pause)) {
    const window = await inSlices(UploadWindow.load(kv, range), pause);
    const needed = new NeededBlocks(window);
    await inSlices(need(kv, window, needed), pause);
    for (let bucket = range.first; bucket < Math.min(range.end, UPLOAD_BUCKETS); bucket++) {
      const stored = new Map<UploadId, number>();
      for await (const page of store.list(bucket, signal)) {
        const over = page.filter((object) => isOver(object, window));
        const dead = over.filter(({ upload, index }) => needed.isUnneeded(upload as UploadId, index as number));
        if (dead.length > 0) yield { kind: 'dead', blocks: dead };
        const isDead = new Set(dead);
        for (const object of over) {
          const upload = object.upload as UploadId;
          if (!isDead.has(object)) stored.set(upload, (stored.get(upload) ?? 0) + object.size);
        }
        await pause();
      }
      const uploads = [...stored]
        .map(([upload, storedBytes]): SparseUpload => ({ upload, storedBytes, namedBytes: needed.namedBytes(upload) }))
        .filter(({ storedBytes, namedBytes }) => namedBytes <= storedBytes * SPARSE_SHARE && storedBytes - namedBytes >= SPARSE_BYTES_MIN)
        .slice(0, SPARSE_MAX);
      if (uploads.length > 0) yield { kind: 'sparse', uploads };
    }
  }
}

function* need(kv: KvReader, window: UploadWindow, needed: NeededBlocks): Generator<undefined> {
  for (const { value } of kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    if (uploadsNamed(value).some((at) => window.holds(value, at))) needed.add(decodeBody(value).body);
    yield;
  }
}

/** A block of an upload that is over. What has no references waits in the queue as a whole; what has no row at all is for another search. */
function isOver({ upload, index }: StoredBlock, window: UploadWindow): boolean {
  if (upload === undefined || index === undefined) return false;
  const slot = window.find(Buffer.from(upload, 'hex'), 0);
  return slot >= 0 && window.references(slot) > 0 && window.ledger(slot) === LEDGER.none;
}

/** A body with the pieces of some uploads that it names. */
export interface NamingBody {
  readonly ino: InodeNumber;
  readonly generation: Generation;
  readonly pieces: readonly Piece[];
}

/** All bodies that name one of the uploads, superseded ones too. */
export async function* bodiesNaming(
  kv: KvReader,
  uploads: ReadonlySet<UploadId>,
  pause: () => Promise<void>,
): AsyncGenerator<NamingBody, void> {
  let rows = 0;
  for (const { key, value } of kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    if (++rows % SLICE_ROWS === 0) await pause();
    if (!uploadsNamed(value).some((at) => uploads.has(Buffer.from(value.subarray(at, at + 16)).toString('hex') as UploadId))) continue;
    const { body } = decodeBody(value);
    if (body.kind === 'inline') continue;
    const pieces = body.manifest.extents.filter((extent): extent is Piece => !isHole(extent) && uploads.has(extent.upload));
    yield { ino: readU64(key, 1) as InodeNumber, generation: readU64(key, 9) as Generation, pieces };
  }
}

async function inSlices<T>(steps: Generator<undefined, T>, pause: () => Promise<void>): Promise<T> {
  try {
    for (let rows = 1; ; rows++) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (rows % SLICE_ROWS === 0) await pause();
    }
  } finally {
    // Lets go of the rows that it is at.
    steps.return(undefined as T);
  }
}
