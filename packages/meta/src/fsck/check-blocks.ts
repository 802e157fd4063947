/**
 * The store against the bodies: every block that a body names is there, and every object belongs to an upload that has a row.
 *
 * The store is listed after the rows were read, and goes on changing meanwhile. A block that is missing is asked for once more; an
 * object is stray only if its upload began well before the rows were read and has no row in them: rows of an upload come before
 * its first block and go after its last.
 */
import { blockKey, type InodeNumber, type UploadId } from '@nokv/types';
import { FAMILY, extentKey, familyEnd, familyStart } from '../key.js';
import { readU64 } from '../row-reader.js';
import { decodeBody, decodeExtent, uploadsNamed } from '../value-body.js';
import type { BlockInventory, StoredBlock } from './block-inventory.js';
import type { FsckContext } from './context.js';
import { NeededBlocks, type NeededBlock } from './needed-blocks.js';
import { UPLOAD_BUCKETS, UploadWindow, uploadRanges } from './upload-window.js';

/** An upload has to be this old before an object of it that has no row is called stray. */
const GRACE_MS = 60 * 60 * 1000;
/** Missing blocks that are told one by one in a range. */
const MISSING_MAX = 10_000;

/** A cursor is the one byte of the first bucket that is left. */
export async function* checkBlocks(
  context: FsckContext,
  store: BlockInventory,
  from: Uint8Array | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array | undefined> {
  const takenMs = context.nowMs();
  for (const range of yield* uploadRanges(context.kv, from?.[0] ?? 0)) {
    const window = yield* UploadWindow.load(context.kv, range);
    const needed = new NeededBlocks(window);
    yield* needBlocks(context, window, needed);
    if (range.first === 0) {
      for await (const page of store.listOutside(signal)) {
        for (const object of page) checkObject(context, window, needed, object, takenMs);
        yield undefined;
      }
    }
    for (let bucket = range.first; bucket < range.end; bucket++) {
      for await (const page of store.list(bucket, signal)) {
        for (const object of page) checkObject(context, window, needed, object, takenMs);
        yield undefined;
      }
    }
    const missing: NeededBlock[] = [];
    for (const block of needed.missing()) {
      if (missing.length === MISSING_MAX) break;
      if (isNamed(context, block.upload) && !(await store.has(block.upload, block.index, signal))) missing.push(block);
      yield undefined;
    }
    yield* reportMissing(context, missing);
    if (range.end < UPLOAD_BUCKETS) yield Uint8Array.of(range.end);
  }
}

function* needBlocks(context: FsckContext, window: UploadWindow, needed: NeededBlocks): Generator<undefined> {
  for (const { value } of context.kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    try {
      if (uploadsNamed(value).some((at) => window.holds(value, at))) needed.add(decodeBody(value).body);
    } catch {
      // Named by the pass over bodies.
    }
    yield;
  }
}

function checkObject(context: FsckContext, window: UploadWindow, needed: NeededBlocks, object: StoredBlock, takenMs: number): void {
  const { key, size, upload, index } = object;
  const id = upload === undefined ? undefined : Buffer.from(upload, 'hex');
  if (upload !== undefined && id !== undefined && window.find(id, 0) >= 0) {
    if (index !== undefined) needed.found(upload, index);
    return;
  }
  // The first 48 bits of an upload's id are the time at which it began.
  if (id !== undefined && takenMs - id.readUIntBE(0, 6) < GRACE_MS) return;
  context.report({
    severity: 'warning',
    class: 'stray-object',
    where: `object ${key}`,
    expected: 'an upload or a body that knows it',
    found: `${size} bytes that nothing knows`,
    remove: key,
    drops: true,
  });
}

/** A body that was forgotten meanwhile took its blocks along. */
function isNamed(context: FsckContext, upload: UploadId): boolean {
  const row = context.live.get(extentKey(upload));
  return row !== undefined && decodeExtent(row).references > 0;
}

function* reportMissing(context: FsckContext, missing: readonly NeededBlock[]): Generator<undefined> {
  if (missing.length === 0) return;
  const owners = new Map<UploadId, InodeNumber | undefined>(missing.map(({ upload }) => [upload, undefined]));
  for (const { key, value } of context.kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    for (const at of namedIn(value)) {
      const upload = Buffer.from(value.subarray(at, at + 16)).toString('hex') as UploadId;
      if (owners.has(upload)) owners.set(upload, readU64(key, 1) as InodeNumber);
    }
    yield;
  }
  for (const { upload, index } of missing) {
    const ino = owners.get(upload);
    context.report({
      severity: 'error',
      class: 'block-missing',
      where: `object ${blockKey(upload, index)}`,
      ...(ino === undefined ? {} : { ino }),
      expected: `a block, since a body of inode ${ino} names it`,
      found: 'none',
    });
    yield;
  }
}

function namedIn(value: Uint8Array): readonly number[] {
  try {
    return uploadsNamed(value);
  } catch {
    return [];
  }
}
