/** Extents are counted once for each stored body that names them, and whatever nobody holds waits for its end. */
import type { UploadId } from '@nokv/types';
import { FAMILY, GC_KIND, familyEnd, familyStart } from '../key.js';
import { uploadsNamed, decodeDigest, decodeExtent, decodeUpload } from '../value-body.js';
import type { FsckContext } from './context.js';
import { undecodable } from './problem.js';
import { LEDGER, UPLOAD_BUCKETS, UploadWindow, uploadRanges } from './upload-window.js';

/** Uploads without a row that are told one by one. */
const MISSING_MAX = 10_000;
const GC_KIND_AT = 9;
const GC_UPLOAD_AT = 10;

/** A cursor is the one byte of the first bucket that is left. */
export function* checkExtents(context: FsckContext, from: Uint8Array | undefined): Generator<Uint8Array | undefined> {
  const first = from?.[0] ?? 0;
  if (first === 0) yield* checkRows(context);
  for (const range of yield* uploadRanges(context.kv, first)) {
    const window = yield* UploadWindow.load(context.kv, range);
    const counted = new Uint32Array(window.size);
    const missing = new Map<UploadId, number>();
    yield* countBodies(context, window, counted, missing);
    const queued = new Uint8Array(window.size);
    yield* markQueued(context, window, queued);
    for (let slot = 0; slot < window.size; slot++) {
      report(context, window, slot, counted[slot] as number, queued[slot] === 1);
      yield;
    }
    for (const [upload, references] of missing) {
      context.report({
        severity: 'error',
        class: 'extent-missing',
        where: `extent ${upload}`,
        expected: `a row that counts ${references}`,
        found: 'none',
        fix: { kind: 'references', upload, delta: references },
      });
      yield;
    }
    if (range.end < UPLOAD_BUCKETS) yield Uint8Array.of(range.end);
  }
}

function* checkRows(context: FsckContext): Generator<undefined> {
  for (const [family, decode, what, keyBytes] of [
    [FAMILY.extent, decodeExtent, 'extent', 17],
    [FAMILY.upload, decodeUpload, 'upload', 17],
    // One whose body is gone is looked through by who asks, and replaced by the next that is offered.
    [FAMILY.digest, decodeDigest, 'digest', 33],
  ] as const) {
    for (const { key, value } of context.kv.range(familyStart(family), familyEnd(family))) {
      try {
        if (key.length !== keyBytes) throw new Error(`a key of ${key.length} bytes, ${keyBytes} expected`);
        decode(value);
      } catch (error) {
        context.report(undecodable(key, `${what} ${Buffer.from(key.subarray(1)).toString('hex')}`, error));
      }
      yield;
    }
  }
}

function* countBodies(
  context: FsckContext,
  window: UploadWindow,
  counted: Uint32Array,
  missing: Map<UploadId, number>,
): Generator<undefined> {
  for (const { value } of context.kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    for (const at of idsIn(value)) {
      if (!window.holds(value, at)) continue;
      const slot = window.find(value, at);
      if (slot >= 0) counted[slot] = (counted[slot] as number) + 1;
      if (slot >= 0 && window.hasExtent(slot)) continue;
      const upload = Buffer.from(value.subarray(at, at + 16)).toString('hex') as UploadId;
      if (missing.size < MISSING_MAX) missing.set(upload, (missing.get(upload) ?? 0) + 1);
    }
    yield;
  }
}

function idsIn(value: Uint8Array): readonly number[] {
  try {
    return uploadsNamed(value);
  } catch {
    // Named by the pass over bodies.
    return [];
  }
}

function* markQueued(context: FsckContext, window: UploadWindow, queued: Uint8Array): Generator<undefined> {
  for (const { key } of context.kv.range(familyStart(FAMILY.gc), familyEnd(FAMILY.gc))) {
    const kind = key[GC_KIND_AT];
    if ((kind === GC_KIND.extent || kind === GC_KIND.upload) && key.length === 26 && window.holds(key, GC_UPLOAD_AT)) {
      const slot = window.find(key, GC_UPLOAD_AT);
      if (slot >= 0) queued[slot] = 1;
    }
    yield;
  }
}

function report(context: FsckContext, window: UploadWindow, slot: number, counted: number, isQueued: boolean): void {
  const upload = window.id(slot);
  const where = `extent ${upload}`;
  const references = window.references(slot);
  if (window.hasExtent(slot) && references !== counted) {
    context.report({
      // Too few: blocks may go while a body still names them.
      severity: references < counted ? 'error' : 'warning',
      class: 'extent-references',
      where,
      expected: `${counted}`,
      found: `${references}`,
      fix: { kind: 'references', upload, delta: counted - references },
    });
    return;
  }
  if (isQueued || counted > 0) return;
  if (window.ledger(slot) === LEDGER.open) {
    context.report({
      severity: 'warning',
      class: 'upload-unqueued',
      where: `upload ${upload}`,
      expected: 'a row in the queue that ends it',
      found: 'none',
      fix: { kind: 'queue-upload', upload },
    });
    return;
  }
  context.report({
    severity: 'warning',
    class: 'extent-unowned',
    where,
    expected: 'a body that names it or a row in the queue',
    found: 'neither',
    fix: { kind: 'queue-upload', upload },
  });
}
