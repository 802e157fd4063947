/** Bytes of a publish in their places of the body that is there: a pure function of both. */
import {
  INLINE_BYTES_MAX,
  NokvError,
  SPLICES_MAX,
  bodySize,
  isSameExtents,
  sliceExtents,
  spliceExtents,
  type Body,
  type Extent,
  type NodeRef,
  type Splice,
} from '@nokv/types';
import { describe } from '../resolve.js';

const EMPTY: Body = { kind: 'inline', bytes: new Uint8Array(0) };

/** @param old undefined: there is no body yet. */
export function splicedBody(node: NodeRef, old: Body = EMPTY, sent: Body, splices: readonly Splice[]): Body {
  // Nothing makes nothing longer, wherever it is put (as with pwrite(2)).
  if (bodySize(sent) === 0) return old;
  if (old.kind === 'inline' && sent.kind === 'inline') return splicedBytes(node, old.bytes, sent.bytes, splices);
  if (sent.kind === 'inline') throw apart(node, `keeps its ${bodySize(old)} bytes in blocks; send these in a block, too`);
  if (old.kind === 'inline' && old.bytes.length > 0) {
    throw apart(node, `keeps its ${old.bytes.length} bytes in the metadata; publish them together with these as blocks`);
  }
  let extents: readonly Extent[] = old.kind === 'inline' ? [] : old.manifest.extents;
  let size = bodySize(old);
  let sentAt = 0;
  for (const { offset = size, length, over } of splices) {
    if (length === 0) continue;
    if (over !== undefined && !isSameExtents(sliceExtents(extents, offset, offset + length), over)) throw changed(node, offset, length);
    extents = spliceExtents(extents, size, offset, sliceExtents(sent.manifest.extents, sentAt, sentAt + length));
    size = Math.max(size, offset + length);
    sentAt += length;
  }
  return { kind: 'blocks', manifest: { size, extents } };
}

function splicedBytes(node: NodeRef, old: Uint8Array, sent: Uint8Array, splices: readonly Splice[]): Body {
  let bytes = old;
  let sentAt = 0;
  for (const { offset = bytes.length, length, over } of splices) {
    if (length === 0) continue;
    // What lies in the metadata shows no extents.
    if (over !== undefined && over.length > 0) throw changed(node, offset, length);
    const size = Math.max(bytes.length, offset + length);
    if (size > INLINE_BYTES_MAX)
      throw apart(node, `would have ${size} bytes, in the metadata ${INLINE_BYTES_MAX} at most; publish it as blocks`);
    const next = new Uint8Array(size);
    next.set(bytes);
    next.set(sent.subarray(sentAt, sentAt + length), offset);
    bytes = next;
    sentAt += length;
  }
  return { kind: 'inline', bytes };
}

export function checkSplices(splices: readonly Splice[], sent: Body, digest: string | undefined): void {
  if (digest !== undefined) throw new NokvError('invalid-argument', 'a digest is of a whole body; publish parts of one without');
  if (splices.length === 0 || splices.length > SPLICES_MAX) {
    throw new NokvError('invalid-argument', `expected 1 to ${SPLICES_MAX} places for the bytes, found ${splices.length}`);
  }
  let sum = 0;
  for (const { offset = 0, length } of splices) {
    if (!isCount(offset) || !isCount(length) || !isCount(offset + length)) {
      throw new NokvError('invalid-argument', `expected whole bytes from 0 on, found ${length} at ${offset}`);
    }
    sum += length;
  }
  if (sum !== bodySize(sent)) {
    throw new NokvError('invalid-argument', `the places take ${sum} bytes, ${bodySize(sent)} were sent`);
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function apart(node: NodeRef, what: string): NokvError {
  return new NokvError('too-large', `${describe(node)} ${what}`, { details: { inlineBytesMax: INLINE_BYTES_MAX } });
}

function changed(node: NodeRef, offset: number, length: number): NokvError {
  return new NokvError(
    'generation-mismatch',
    `${describe(node)} was changed from ${offset} to ${offset + length} since it was read; read it again and decide`,
    { details: { offset, length } },
  );
}
