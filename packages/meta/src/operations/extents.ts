/**
 * Reference counts of extents: one for each stored body, superseded ones included, that names the upload.
 * An extent without references whose upload is over waits in the gc queue; from there it never comes back, since only a
 * stored body or an open upload can lend its pieces to a new body.
 */
import { assert, isHole, storedBytes, type Body, type UploadId } from '@nokv/types';
import { GC_KIND, gcUploadKey } from '../key.js';
import type { Retention } from '../command.js';
import type { Transaction } from '../transaction.js';
import { dueMs } from './directory.js';

/** The uploads that a body names, each once, in the order of its extents. */
export function uploadsOf(body: Body): Set<UploadId> {
  const uploads = new Set<UploadId>();
  if (body.kind === 'blocks') {
    for (const extent of body.manifest.extents) if (!isHole(extent)) uploads.add(extent.upload);
  }
  return uploads;
}

export function addReferences(transaction: Transaction, body: Body): void {
  for (const upload of uploadsOf(body)) {
    const extent = transaction.extent(upload) ?? { references: 0, blocks: 0, bytes: 0 };
    const { blocks, bytes } = body.kind === 'blocks' ? measure(body, upload) : { blocks: 0, bytes: 0 };
    transaction.putExtent(upload, {
      references: extent.references + 1,
      blocks: Math.max(extent.blocks, blocks),
      bytes: Math.max(extent.bytes, bytes),
    });
  }
}

export function dropReferences(transaction: Transaction, body: Body, retention: Retention): void {
  for (const upload of uploadsOf(body)) {
    const extent = transaction.extent(upload);
    assert(extent !== undefined && extent.references > 0, `the extent of upload ${upload} is counted`);
    transaction.putExtent(upload, { ...extent, references: extent.references - 1 });
    if (extent.references === 1 && transaction.upload(upload)?.state !== 'open') {
      transaction.addWork(gcUploadKey(dueMs(transaction, retention.extentMs), GC_KIND.extent, upload));
    }
  }
}

/** Closes an upload: its ledger row goes where bodies hold the blocks, else it waits for its blocks to be removed. */
export function closeUpload(transaction: Transaction, upload: UploadId, retention: Retention): void {
  const ledger = transaction.upload(upload);
  if (ledger === undefined || ledger.state === 'ended') return;
  if ((transaction.extent(upload)?.references ?? 0) > 0) {
    transaction.putUpload(upload, undefined);
  } else {
    transaction.putUpload(upload, { ...ledger, state: 'ended' });
    transaction.addWork(gcUploadKey(dueMs(transaction, retention.uploadMs), GC_KIND.extent, upload));
  }
}

/** Blocks and bytes that a body shows an upload to have. */
function measure(body: Extract<Body, { kind: 'blocks' }>, upload: UploadId): { readonly blocks: number; readonly bytes: number } {
  let blocks = 0;
  let bytes = 0;
  for (const extent of body.manifest.extents) {
    if (isHole(extent) || extent.upload !== upload) continue;
    blocks = Math.max(blocks, extent.index + 1);
    bytes += storedBytes(extent);
  }
  return { blocks, bytes };
}
