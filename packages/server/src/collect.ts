/**
 * `collect`: due background work done at once, and a list of what is left with the reason why. Looks through the store as well: what
 * nothing knows is told, and queued unless it is a dry run.
 */
import type { PlannedRow, ShardEngine } from '@nokv/meta';
import { LIST_KEYS_MAX, type ObjectStore } from '@nokv/object';
import {
  uploadPrefix,
  type Clock,
  type CollectArgs,
  type CollectResult,
  type CollectRow,
  type ListedBlocks,
  type UploadId,
} from '@nokv/types';
import { BLOCKS_PREFIX, describeObject } from './block-inventory.js';
import { BlockRemoval } from './block-removal.js';
import type { DeadBlockSweep } from './dead-block-sweep.js';
import type { HitFailpoint } from './failpoints.js';
import { inLanes } from './lanes.js';
import { ORPHAN_GRACE_MS_DEFAULT, strayUploads } from './orphan-sweep.js';

export interface CollectParts {
  readonly engine: ShardEngine;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly failpoint?: HitFailpoint;
  readonly orphanGraceMs?: number | undefined;
  readonly deadBlocks?: DeadBlockSweep | undefined;
}

/** A call answers after about this long, done or not: the background goes on anyway. */
const RUN_MS = 10_000;
/** Of that, looking through the store. */
const LIST_MS = 5_000;
/** Uploads that are measured at once. */
const MEASURED_AT_ONCE = 8;

export async function collect(parts: CollectParts, { dryRun, limit }: CollectArgs, signal?: AbortSignal): Promise<CollectResult> {
  const { engine, store, clock, failpoint } = parts;
  const endMs = clock.monotonicMs() + RUN_MS;
  // Checks the limit before anything is done.
  engine.collectPlan(limit);
  const seen = await lookThrough(parts, dryRun, limit, signal);
  const removal = new BlockRemoval({ store, failpoint, signal, mayGoOn: () => engine.mustServe() });
  let slices = 0;
  let isUnfinished = false;
  if (!dryRun) {
    do {
      const { more } = await engine.maintain(async (upload) => void (await removal.remove(upload)));
      slices += 1;
      isUnfinished = more;
    } while (isUnfinished && clock.monotonicMs() < endMs);
  }
  const { deadBlocks } = parts;
  const before = { bodies: deadBlocks?.bodiesMoved ?? 0, bytes: deadBlocks?.bytesMoved ?? 0 };
  if (!dryRun && deadBlocks !== undefined) {
    await deadBlocks.pass(endMs);
    const removed = await deadBlocks.removeDue();
    removal.blocks += removed.blocks;
    removal.bytes += removed.bytes;
  }
  const dead = deadBlocks === undefined ? [] : deadRows(deadBlocks, clock.nowMs());
  const plan = engine.collectPlan(limit);
  const rows = [...(await measured(parts, plan.rows, signal)), ...dead, ...seen.rows].slice(0, limit);
  const due = { rows: 0, blocks: 0, bytes: 0 };
  for (const { state, kind, blocks = 0, bytes = 0 } of rows) {
    if (state !== 'due') continue;
    due.rows += 1;
    // A body that goes frees nothing by itself: its blocks come up when none names them.
    if (kind === 'extent' || kind === 'dead') {
      due.blocks += blocks;
      due.bytes += bytes;
    }
  }
  const more = plan.more || plan.rows.length + dead.length + seen.rows.length > limit;
  const moved = { bodies: (deadBlocks?.bodiesMoved ?? 0) - before.bodies, bytes: (deadBlocks?.bytesMoved ?? 0) - before.bytes };
  return {
    rows,
    more,
    slices,
    blocksRemoved: removal.blocks,
    bytesRemoved: removal.bytes,
    due,
    listed: seen.listed,
    isUnfinished,
    ...(moved.bodies === 0 ? {} : { moved }),
  };
}

/** What the store has under the prefix of blocks that is no block or of no upload. Strays are queued, or told where nothing is to change. */
async function lookThrough(
  { engine, store, clock, orphanGraceMs = ORPHAN_GRACE_MS_DEFAULT }: CollectParts,
  dryRun: boolean,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly rows: readonly CollectRow[]; readonly listed: ListedBlocks }> {
  const endMs = clock.monotonicMs() + LIST_MS;
  const foreign: CollectRow[] = [];
  const strays = new Map<UploadId, { dueMs: number; blocks: number; bytes: number }>();
  const listed = { objects: 0, bytes: 0, isWhole: false };
  let after: string | undefined;
  // Ends because every page goes on behind the last.
  for (;;) {
    const page = await store.list(BLOCKS_PREFIX, { limit: LIST_KEYS_MAX, after, signal });
    const uploads = new Map<UploadId, { blocks: number; bytes: number }>();
    for (const { key, size } of page.objects) {
      listed.objects += 1;
      listed.bytes += size;
      const { upload } = describeObject(key, size);
      if (upload === undefined) {
        if (foreign.length < limit) foreign.push(foreignRow(key, size));
        continue;
      }
      const sum = uploads.get(upload) ?? { blocks: 0, bytes: 0 };
      uploads.set(upload, { blocks: sum.blocks + 1, bytes: sum.bytes + size });
    }
    const unknown = strayUploads(engine.unknownUploads(uploads.keys()), clock.nowMs(), orphanGraceMs);
    if (!dryRun) await engine.adoptStrays(unknown);
    for (const { upload, dueMs } of unknown) {
      const sum = strays.get(upload);
      if (dryRun && (sum !== undefined || strays.size < limit)) {
        const { blocks = 0, bytes = 0 } = uploads.get(upload) ?? {};
        strays.set(upload, { dueMs, blocks: (sum?.blocks ?? 0) + blocks, bytes: (sum?.bytes ?? 0) + bytes });
      }
    }
    after = page.objects.at(-1)?.key;
    listed.isWhole = !page.more || after === undefined;
    if (listed.isWhole || clock.monotonicMs() >= endMs) break;
  }
  const rows = [...strays].map(([upload, { dueMs, blocks, bytes }]): CollectRow => ({
    kind: 'stray',
    what: `blocks of upload ${upload}`,
    state: 'waiting',
    dueMs,
    why: 'nothing knows them; if that stays so, they go after a time of grace',
    blocks,
    bytes,
  }));
  return { rows: [...rows, ...foreign], listed };
}

/** One row for all of them: they have no names but their keys. */
function deadRows({ waiting: { blocks, bytes, dueMs } }: DeadBlockSweep, nowMs: number): CollectRow[] {
  if (dueMs === undefined) return [];
  const why = 'no body names them, though others of their uploads are named; they wait for readers under way';
  return [
    { kind: 'dead', what: `blocks beside others that are named`, state: dueMs <= nowMs ? 'due' : 'waiting', dueMs, why, blocks, bytes },
  ];
}

function foreignRow(key: string, bytes: number): CollectRow {
  return {
    kind: 'foreign',
    what: `object ${key}`.slice(0, 256),
    state: 'held',
    why: 'its key is none of a block, so it is left alone; look whose it is, then remove it, or let nokv fsck --repair --drop',
    bytes,
  };
}

/** Adds to the rows of uploads that will go what the store has of them. */
async function measured({ store }: CollectParts, rows: readonly PlannedRow[], signal: AbortSignal | undefined): Promise<CollectRow[]> {
  const answer: CollectRow[] = [...rows];
  await inLanes(rows, MEASURED_AT_ONCE, async ({ upload, ...row }, at) => {
    answer[at] = upload === undefined || row.state === 'held' ? row : { ...row, ...(await sizeOf(store, upload, signal)) };
  });
  return answer;
}

async function sizeOf(store: ObjectStore, upload: UploadId, signal: AbortSignal | undefined): Promise<{ blocks: number; bytes: number }> {
  const sum = { blocks: 0, bytes: 0 };
  let after: string | undefined;
  // Ends because every page goes on behind the last.
  for (;;) {
    const { objects, more } = await store.list(uploadPrefix(upload), { limit: LIST_KEYS_MAX, after, signal });
    sum.blocks += objects.length;
    for (const { size } of objects) sum.bytes += size;
    after = objects.at(-1)?.key;
    if (!more || after === undefined) return sum;
  }
}
