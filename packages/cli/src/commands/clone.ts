/** `clone`, `merge`, `rollback`: whole trees, each in one step. */
import type { Conflict } from '@nokv/client';
import { NokvError } from '@nokv/types';
import { addressOf, atOf, readingAddress, stateOf } from '../address.js';
import { orAdvise } from '../advise.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { formatMoment } from '../moment.js';
import { columns } from '../output.js';
import { pinJson, shortTime } from '../pin-view.js';
import { printable } from '../printable.js';
import { remotePath, showPath } from '../remote-path.js';
import type { historyCommands } from '../table/history-commands.js';
import { typed } from '../typed.js';
import { usageError } from '../usage-error.js';
import { changeOptions } from './namespace.js';

type Rows = typeof historyCommands;

export async function clone(call: CallOf<Rows['clone']>): Promise<void> {
  const source = addressOf(call, call.args.source);
  const to = remotePath(call.args.destination);
  await using client = await connectClient(call);
  const options = { ...changeOptions(call), at: await atOf(call, client, source), parents: call.flags.parents };
  const make = async () => await readingAddress(source, async () => await client.clone(source.path, to, options));
  const { attributes, version, requestId } = await orAdvise('exists', 'name a DST where nothing is', make);
  const at = source.moment === undefined ? null : formatMoment(source.moment);
  const from = showPath(source.path);
  const [shown, shownFrom] = [printable(showPath(to)), printable(`${from}${at === null ? '' : `@${at}`}`)];
  const next =
    attributes.type === 'directory'
      ? [
          `  what changes in it:  nokv diff ${typed(from, at ?? undefined)} ${typed(showPath(to))}`,
          `  bring it back:       nokv merge ${typed(showPath(to))}`,
        ]
      : [];
  const text = [`${shown}  clone of ${shownFrom} (inode ${attributes.ino})`, ...next].join('\n');
  await call.output.result({ path: showPath(to), from, at, inode: attributes.ino, version, requestId }, text);
}

export async function merge(call: CallOf<Rows['merge']>): Promise<void> {
  const { output, flags } = call;
  const fork = remotePath(call.args.fork);
  const into = flags.into === undefined ? undefined : remotePath(flags.into);
  await using client = await connectClient(call);
  const outcome = await client.merge(fork, { ...changeOptions(call), into, dryRun: flags.dryRun });
  const { applied, changes, conflicts, conflictCount, version, requestId } = outcome;
  const where = into === undefined ? {} : { into: showPath(into) };
  const what = { path: showPath(fork), into: null, ...where, dryRun: flags.dryRun, applied, changes, conflictCount };
  if (output.json) await output.object({ ...what, conflicts: conflicts.map(conflictJson), version, requestId });
  else for (const line of conflictLines(conflicts)) await output.line(line);
  await output.flush();
  if (conflictCount > 0) {
    const more = conflictCount > conflicts.length ? ` (the first ${conflicts.length} are listed)` : '';
    throw new NokvError(
      'merge-conflict',
      `${showPath(fork)}: ${conflictCount} ${conflictCount === 1 ? 'path has' : 'paths have'} changed on both sides${more}; nothing was applied: make each the same on both sides, or remove it from the clone`,
      { details: { path: showPath(fork), conflicts: conflictCount } },
    );
  }
  if (output.json) return;
  const told = `${changes} ${changes === 1 ? 'change' : 'changes'}`;
  await output.result(
    undefined,
    flags.dryRun ? `${told} would be merged, without conflicts` : `${told} merged from ${printable(showPath(fork))}`,
  );
}

function conflictJson({ path, fork, live, baseGeneration, liveGeneration, forkGeneration }: Conflict) {
  return { path, fork, live, baseGeneration, liveGeneration, forkGeneration };
}

function conflictLines(conflicts: readonly Conflict[]): string[] {
  if (conflicts.length === 0) return [];
  const generation = (value: number) => (value === 0 ? '-' : `${value}`);
  const rows = conflicts.map(({ path, fork, live, baseGeneration, liveGeneration, forkGeneration }) => [
    printable(path === '' ? '.' : path),
    `${fork} in the clone`,
    `${live} in the base`,
    `base ${generation(baseGeneration)}`,
    `live ${generation(liveGeneration)}`,
    `clone ${generation(forkGeneration)}`,
  ]);
  return columns(rows);
}

export async function rollback(call: CallOf<Rows['rollback']>): Promise<void> {
  const { to, undoTtl } = call.flags;
  if (to === undefined) throw usageError('missing --to MOMENT; expected: nokv rollback PATH --to snap:ID, tag:NAME, version:N or a time');
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const address = { path, text: call.args.path, written: call.args.path, moment: to };
  const at = (to.kind === 'ordinal' ? await atOf(call, client, address) : undefined) ?? (await stateOf(call, client, to));
  const { attributes, undo, restored, version, requestId } = await client.rollback(path, at, {
    ...changeOptions(call),
    undoTtlMs: undoTtl,
  });
  const shown = printable(showPath(path));
  const kept = undo.expiresAt === undefined ? '' : `   (kept until ${shortTime(undo.expiresAt)})`;
  const text = `${shown}  is as it was at version ${restored}\n  undo:  nokv rollback ${typed(showPath(path))} --to snap:${undo.id}${kept}`;
  const json = { path: showPath(path), inode: attributes.ino, restored, undo: pinJson(undo), version, requestId };
  await call.output.result(json, text);
}
