/** What waits in the queue of background work, and why it is still there. Reads rows; what is due is judged again when its turn comes. */
import { timespecToMs, unreachable, type CollectRow, type UploadId } from '@nokv/types';
import { FAMILY, GC_HELD_MS, bodyKey, extentKey, familyEnd, familyStart, inodeKey, parseGcKey, uploadKey, type GcWork } from './key.js';
import type { KvReader } from './ordered-kv.js';
import { STRAY_TARGET } from './operations/background.js';
import { decodeBodyHead, decodeExtent, decodeUpload } from './value-body.js';
import { decodeInode } from './value-inode.js';

/** A row as the queue has it; `upload` is the one whose blocks it is about. */
export interface PlannedRow extends CollectRow {
  readonly upload?: UploadId;
}

export interface CollectPlan {
  readonly rows: readonly PlannedRow[];
  readonly more: boolean;
}

export function collectPlan(kv: KvReader, nowMs: number, limit: number): CollectPlan {
  const keys: Uint8Array[] = [];
  for (const { key } of kv.range(familyStart(FAMILY.gc), familyEnd(FAMILY.gc), { limit: limit + 1 })) keys.push(Uint8Array.from(key));
  const rows: PlannedRow[] = [];
  for (const key of keys.slice(0, limit)) {
    const work = parseGcKey(key);
    if (work !== undefined) rows.push(rowOf(kv, work, nowMs));
  }
  return { rows, more: keys.length > limit };
}

function rowOf(kv: KvReader, work: GcWork, nowMs: number): PlannedRow {
  return { ...stateOf(kv, work, nowMs), ...sizeOf(kv, work) };
}

/** Of a body its length; what the blocks of an upload take only the store knows. */
function sizeOf(kv: KvReader, work: GcWork): Pick<PlannedRow, 'bytes' | 'upload'> {
  if (work.kind === 'extent') return { upload: work.upload };
  const row = work.kind === 'body' ? kv.get(bodyKey(work.ino, work.generation)) : undefined;
  return row === undefined ? {} : { bytes: decodeBodyHead(row).size };
}

function stateOf(kv: KvReader, work: GcWork, nowMs: number): CollectRow {
  const { dueMs, kind } = work;
  if (dueMs === GC_HELD_MS && kind === 'policy') return { kind, what: nameOf(work), state: 'due', why: reasonOf(kv, work, true, nowMs) };
  if (dueMs === GC_HELD_MS) return { kind, what: nameOf(work), state: 'held', why: 'a snapshot, tag or fork may still show it' };
  const state = dueMs > nowMs ? 'waiting' : 'due';
  const row = { kind, what: nameOf(work), state, dueMs, why: reasonOf(kv, work, state === 'due', nowMs) } as const;
  return kind === 'extent' && referencesOf(kv, work.upload) > 0 ? { ...row, state: 'held' } : row;
}

function nameOf(work: GcWork): string {
  switch (work.kind) {
    case 'upload':
      return `upload ${work.upload}`;
    case 'extent':
      return `blocks of upload ${work.upload}`;
    case 'body':
      return `generation ${work.generation} of inode ${work.ino}`;
    case 'tree':
      return `staged tree ${work.root}`;
    case 'fork':
      return `rows of the ended fork ${work.root}`;
    case 'policy':
      return `superseded bodies below directory ${work.root}`;
    case 'session':
      return `session ${work.session}`;
    default:
      return unreachable(work);
  }
}

function reasonOf(kv: KvReader, work: GcWork, isDue: boolean, nowMs: number): string {
  switch (work.kind) {
    case 'upload': {
      const row = kv.get(uploadKey(work.upload));
      const upload = row === undefined ? undefined : decodeUpload(row);
      if (upload?.state !== 'open') return 'it has ended';
      return timespecToMs(upload.expires) > nowMs ? `it is open for ${upload.target || 'nobody knows what'}` : 'it has expired';
    }
    case 'extent': {
      const references = referencesOf(kv, work.upload);
      if (references > 0) return `${references} ${references === 1 ? 'body names' : 'bodies name'} them`;
      if (isStray(kv, work.upload))
        return isDue ? 'nothing knows them' : 'nothing knows them; they were found in the store, and wait for a time of grace';
      return isDue ? 'no body names them' : 'no body names them; the grace for readers under way is not over';
    }
    case 'body': {
      const row = kv.get(inodeKey(work.ino));
      const was = row === undefined ? 'its file was removed' : generationWas(decodeInode(work.ino, row).generation, work.generation);
      return isDue
        ? `${was} and its retention has ended, unless a pin or the policy of its directory keeps it`
        : `${was}; its retention goes on`;
    }
    case 'tree':
      return isDue ? 'it was not published in time, if it is still there' : 'it may still be published';
    case 'fork':
      return 'all its directories have entries of their own';
    case 'policy':
      return 'its retention policy was changed; they are looked at again';
    case 'session':
      return isDue ? 'its time to live is over, unless it was renewed' : 'it may still be renewed';
    default:
      return unreachable(work);
  }
}

function generationWas(current: number, generation: number): string {
  return current === generation ? 'it is current (again)' : 'it was superseded';
}

function isStray(kv: KvReader, upload: UploadId): boolean {
  const row = kv.get(uploadKey(upload));
  return row !== undefined && decodeUpload(row).target === STRAY_TARGET;
}

function referencesOf(kv: KvReader, upload: UploadId): number {
  const row = kv.get(extentKey(upload));
  return row === undefined ? 0 : decodeExtent(row).references;
}
