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
  const { rows, more, slices, blocksRemoved, isUnfinished } = result;
  const shown = rows.map(({ dueMs, ...row }) => ({ ...row, ...(dueMs === undefined ? {} : { due: timeOf(dueMs) }) }));
  if (output.json) {
    await output.object({ rows: shown, more, slices, blocksRemoved, isUnfinished });
    return;
  }
  for (const line of columns(rows.map((row) => [row.state, dueOf(row), printable(row.what), printable(row.why)]))) await output.line(line);
  if (more) output.note(`more wait; --limit shows up to ${limit < 1000 ? 1000 : limit} of them`);
  if (!dryRun)
    output.note(`${slices} slices of work, ${blocksRemoved} blocks removed${isUnfinished ? '; due work is left, the server goes on' : ''}`);
}

function dueOf({ dueMs }: CollectRow): string {
  return dueMs === undefined ? '-' : timeOf(dueMs);
}

function timeOf(ms: number): string {
  return formatTimespec(timespecFromMs(ms));
}
