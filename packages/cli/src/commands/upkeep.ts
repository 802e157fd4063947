/** `stats` and `gc`. */
import { formatTimespec, timespecFromMs, type CollectRow, type ShardFigures } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { formatSize } from '../quantities.js';
import type { upkeepCommands } from '../table/upkeep-commands.js';

const GC_ROWS_DEFAULT = 100;

export async function stats(call: CallOf<typeof upkeepCommands.stats>): Promise<void> {
  const { output, flags, signal } = call;
  await using client = await connectClient(call);
  const figures = await client.metadata.shardFigures({ rows: flags.rows }, { signal });
  if (output.json) await output.object(figures);
  else for (const line of columns(linesOf(figures))) await output.line(line);
}

function linesOf(figures: ShardFigures): string[][] {
  const { store, families, bytes, changeBytes } = figures;
  return [
    ['shard', `${figures.shard}, epoch ${figures.epoch}`],
    ['versions', `${figures.visible} visible, ${figures.durable} durable`],
    ['forgotten', `requests up to ${figures.requestsForgotten}, changes up to ${figures.changesForgotten}`],
    ['inodes', `${figures.inodes}, ${figures.trashed} in the trash`],
    ['bodies', `${bytes} bytes (${formatSize(bytes)})`],
    ['the past', `${figures.pins} snapshots and tags, ${figures.forks} forks, ${figures.policies} policies`],
    ['change log', formatSize(changeBytes)],
    [
      'since start',
      `${figures.commands} mutations in ${figures.batches} commits, ${figures.flushes} flushes; ${figures.reads} reads of ${figures.rowsRead} rows`,
    ],
    ['queued', `${figures.queued}`],
    ['store', `${store.rows} rows, ${formatSize(store.fileBytes)} of ${formatSize(store.mapBytes)} mapped`],
    ...families.map(({ family, rows, isExact }) => [`rows: ${family}`, `${isExact ? '' : 'at least '}${rows}`]),
  ];
}

export async function gc(call: CallOf<typeof upkeepCommands.gc>): Promise<void> {
  const { output, flags, signal } = call;
  await using client = await connectClient(call);
  const { dryRun, limit = GC_ROWS_DEFAULT } = flags;
  const result = await client.metadata.collect({ dryRun, limit }, { signal });
  const { rows, more, slices, blocksRemoved, bytesRemoved = 0, due, listed, moved, isUnfinished } = result;
  const shown = rows.map(({ dueMs, ...row }) => ({ ...row, ...(dueMs === undefined ? {} : { due: timeOf(dueMs) }) }));
  if (output.json) {
    await output.object({
      rows: shown,
      more,
      slices,
      blocksRemoved,
      bytesRemoved,
      isUnfinished,
      ...(due === undefined ? {} : { wouldFree: due }),
      ...(listed === undefined ? {} : { listed }),
      ...(moved === undefined ? {} : { moved }),
    });
    return;
  }
  for (const line of columns(rows.map((row) => [row.state, dueOf(row), sizeOf(row), printable(row.what), printable(row.why)])))
    await output.line(line);
  if (more) output.note(`more wait; --limit shows up to ${limit < 1000 ? 1000 : limit} of them`);
  if (listed !== undefined) {
    const end = listed.isWhole ? '' : ' and more: the time of one call was over; the background goes on';
    output.note(`the store has ${listed.objects} blocks, ${formatSize(listed.bytes)}${end}`);
  }
  if (dryRun && due !== undefined) output.note(`${due.rows} rows are due; ${due.blocks} blocks, ${formatSize(due.bytes)} would go now`);
  if (dryRun) return;
  if (moved !== undefined)
    output.note(`${moved.bodies} bodies moved together (${formatSize(moved.bytes)}); the blocks that they leave go in a day`);
  const left = isUnfinished ? '; due work is left, the server goes on' : '';
  output.note(`${slices} slices of work, ${blocksRemoved} blocks removed, ${formatSize(bytesRemoved)} freed${left}`);
}

function dueOf({ dueMs }: CollectRow): string {
  return dueMs === undefined ? '-' : timeOf(dueMs);
}

function sizeOf({ blocks, bytes }: CollectRow): string {
  const size = bytes === undefined ? '-' : formatSize(bytes);
  return blocks === undefined ? size : `${size} in ${blocks} ${blocks === 1 ? 'block' : 'blocks'}`;
}

function timeOf(ms: number): string {
  return formatTimespec(timespecFromMs(ms));
}
