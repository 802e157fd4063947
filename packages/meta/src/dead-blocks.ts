/**
 * Blocks that no body names, of uploads of which other blocks are named: one upload may carry the bodies of many files, and of a file that
 * was written in part the blocks that were replaced.
 *
 * Looked for in one state of the rows that stands still. What is unnamed there stays so: a new body takes pieces only from bodies that name
 * them and from an upload that is open, and this one is over. So whoever finds them may remove them, once those who had begun to read
 * have had their time. An unreadable row ends the search: nobody knows what it names.
 */
import type { BlockInventory, StoredBlock } from './fsck/block-inventory.js';
import { NeededBlocks } from './fsck/needed-blocks.js';
import { LEDGER, UPLOAD_BUCKETS, UploadWindow, uploadRanges } from './fsck/upload-window.js';
import { FAMILY, familyEnd, familyStart } from './key.js';
import type { KvReader } from './ordered-kv.js';
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

/** Page after page. */
export async function* deadBlocks({ kv, store, pause, signal }: DeadBlocksParts): AsyncGenerator<readonly StoredBlock[], void> {
  for (const range of await inSlices(uploadRanges(kv, 0), pause)) {
    const window = await inSlices(UploadWindow.load(kv, range), pause);
    const needed = new NeededBlocks(window);
    await inSlices(need(kv, window, needed), pause);
    for (let bucket = range.first; bucket < Math.min(range.end, UPLOAD_BUCKETS); bucket++) {
      for await (const page of store.list(bucket, signal)) {
        const dead = page.filter((object) => isDead(object, window, needed));
        if (dead.length > 0) yield dead;
        await pause();
      }
    }
  }
}

function* need(kv: KvReader, window: UploadWindow, needed: NeededBlocks): Generator<undefined> {
  for (const { value } of kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    if (uploadsNamed(value).some((at) => window.holds(value, at))) needed.add(decodeBody(value).body);
    yield;
  }
}

/** What has no references waits in the queue as a whole, and what has no row at all is for another search. */
function isDead({ upload, index }: StoredBlock, window: UploadWindow, needed: NeededBlocks): boolean {
  if (upload === undefined || index === undefined) return false;
  const slot = window.find(Buffer.from(upload, 'hex'), 0);
  if (slot < 0 || window.references(slot) === 0 || window.ledger(slot) !== LEDGER.none) return false;
  return needed.isUnneeded(upload, index);
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
