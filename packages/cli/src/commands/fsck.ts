/** `fsck`: findings as they come, how far it is, and an exit code that says whether any are left. */
import { NokvError, type FsckFinding, type FsckProgress } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import type { upkeepCommands } from '../table/upkeep-commands.js';
import { usageError } from '../usage-error.js';

type Fsck = CallOf<typeof upkeepCommands.fsck>;

export async function fsck(call: Fsck): Promise<void> {
  const { flags, output, signal } = call;
  if (flags.drop && !flags.repair) throw usageError('--drop goes with --repair; give both');
  await using client = await connectClient(call);
  const line = progressLine(call);
  const args = {
    repair: flags.drop ? 'drop' : flags.repair ? 'safe' : 'none',
    checksums: flags.checksums,
    ...(flags.resume === undefined ? {} : { resume: flags.resume }),
  } as const;
  let cursor: string | undefined;
  let left = 0;
  try {
    for await (const item of client.metadata.fsck(args, { signal })) {
      if (item.kind === 'progress') {
        cursor = item.cursor;
        line.update(item);
      } else {
        line.clear();
      }
      if (item.kind === 'finding' && item.repair !== 'done') left += 1;
      if (output.json) await output.object(eventOf(item));
      else if (item.kind === 'finding') await output.line(describe(item));
      else if (item.kind === 'done') output.note(summaryOf(item));
      await output.flush();
    }
  } catch (error) {
    line.clear();
    if (cursor !== undefined) output.note(`go on with: nokv fsck --resume ${cursor}`);
    throw error;
  }
  if (left === 0) return;
  throw new NokvError('corrupt', `${left} ${left === 1 ? 'finding is' : 'findings are'} left; ${adviceFor(flags)}`, { details: { left } });
}

function eventOf({ kind, ...rest }: { readonly kind: string }): object {
  return { event: kind, ...rest };
}

function describe({ severity, class: kind, where, path, expected, found, repair }: FsckFinding): string {
  const place = path === undefined ? where : `${where} (${path})`;
  return printable(`${severity}  ${kind}  ${REPAIR_WORDS[repair]}  ${place}: expected ${expected}, found ${found}`);
}

const REPAIR_WORDS = { done: 'mended', possible: 'can be mended', none: 'as it is', failed: 'not mended' } as const;

function summaryOf({ rows, findings, repaired }: { readonly rows: number; readonly findings: number; readonly repaired: number }): string {
  return `${rows} rows looked at, ${findings} ${findings === 1 ? 'finding' : 'findings'}, ${repaired} mended`;
}

function adviceFor({ repair, drop }: Fsck['flags']): string {
  if (!repair) return 'those that can be mended are with --repair';
  return drop ? 'restore what they concern from a backup or from history' : 'look at them; --repair --drop removes what leads nowhere';
}

/** One line on a terminal, at most ten times a second. */
function progressLine({ io, output, flags }: Fsck): { update(progress: FsckProgress): void; clear(): void } {
  if (flags.progress === 'never' || output.quiet || output.json || !io.stderrIsTerminal)
    return { update: () => undefined, clear: () => undefined };
  let drawnAt = -Infinity;
  let isDrawn = false;
  return {
    update({ pass, rows, rowsTotal }) {
      const now = io.clock.monotonicMs();
      if (now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      isDrawn = true;
      const share = rowsTotal === 0 ? 0 : Math.min(1, rows / rowsTotal);
      const done = Math.round(share * CELLS);
      const bar = `${'#'.repeat(done)}${'-'.repeat(CELLS - done)}`;
      io.stderr.write(`\r\u001b[Kfsck [${bar}] ${String(Math.floor(share * 100)).padStart(3)}%  ${pass}  ${rows} rows`);
    },
    clear() {
      if (isDrawn) io.stderr.write('\r\u001b[K');
      isDrawn = false;
    },
  };
}

const REDRAW_MS = 100;
const CELLS = 24;
