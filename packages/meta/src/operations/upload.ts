/** The staging ledger: no byte of a block is sent before its upload is recorded here. */
import { NokvError, UPLOAD_TTL_MS_MAX, assert, compareTimespec, type Timespec, type UploadId, type UploadResult } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { GC_KIND, gcUploadKey } from '../key.js';
import type { Transaction } from '../transaction.js';
import type { UploadRow } from '../value-body.js';
import { dueMs } from './directory.js';
import { closeUpload } from './extents.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

const TARGET_BYTES_MAX = 4096;

export function beginUpload(transaction: Transaction, { args, freshUpload, actor }: CommandOf<'begin-upload'>): UploadResult {
  assert(freshUpload !== undefined, 'a begin-upload carries its upload id');
  checkTtl(args.ttlMs);
  if (Buffer.byteLength(args.target) > TARGET_BYTES_MAX) {
    throw new NokvError('invalid-argument', `the target of an upload has at most ${TARGET_BYTES_MAX} bytes`);
  }
  const expires = after(transaction.time, args.ttlMs);
  const begunMs = dueMs(transaction, 0);
  transaction.putUpload(freshUpload, { state: 'open', begunMs, expires, actor, target: args.target });
  transaction.addWork(gcUploadKey(dueMs(transaction, args.ttlMs), GC_KIND.upload, freshUpload));
  return { upload: freshUpload, expiresAt: expires };
}

/** A renewal only ever moves the expiry forward; the queued row is moved when it comes due. */
export function renewUpload(transaction: Transaction, { args }: CommandOf<'renew-upload'>): UploadResult {
  checkTtl(args.ttlMs);
  const ledger = liveUpload(transaction, args.upload);
  if (ledger === undefined) {
    throw new NokvError('no-upload', `upload ${args.upload} is not open (any more); begin another and send its blocks again`);
  }
  const renewed = after(transaction.time, args.ttlMs);
  const expires = compareTimespec(renewed, ledger.expires) > 0 ? renewed : ledger.expires;
  transaction.putUpload(args.upload, { ...ledger, expires });
  return { upload: args.upload, expiresAt: expires };
}

export function endUpload(transaction: Transaction, { args, retention }: CommandOf<'end-upload'>): { upload: UploadId } {
  closeUpload(transaction, args.upload, retention);
  return { upload: args.upload };
}

/** The ledger row of an upload that may still be published from. */
export function liveUpload(transaction: Transaction, upload: UploadId): UploadRow | undefined {
  const ledger = transaction.upload(upload);
  return ledger?.state === 'open' && compareTimespec(ledger.expires, transaction.time) > 0 ? ledger : undefined;
}

export function after({ sec, nsec }: Timespec, ms: number): Timespec {
  const total = nsec + (ms % 1000) * 1e6;
  return { sec: sec + Math.floor(ms / 1000) + (total >= 1e9 ? 1 : 0), nsec: total >= 1e9 ? total - 1e9 : total };
}

export function checkTtl(ttlMs: number): void {
  if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > UPLOAD_TTL_MS_MAX) {
    throw new NokvError('invalid-argument', `a time to live is 1 to ${UPLOAD_TTL_MS_MAX} whole ms, found ${ttlMs}`);
  }
}
