/**
 * A line at the bottom of the terminal that says how far a transfer is. Drawn on stderr, only where a person sees it,
 * at most ten times a second. With `--json` a transfer that takes longer than a second tells how far it is in one event a line on
 * stderr, once a second; `--progress json` tells of every step.
 */
import type { Clock } from '@nokv/types';
import type { CliIo } from './cli-io.js';
import type { Output } from './output.js';
import { formatClock, formatSize } from './quantities.js';

export type ProgressMode = 'auto' | 'never' | 'json';

/** What the transfers of the SDK tell; totals once they are known. */
export interface TransferProgress {
  readonly phase: string;
  readonly files?: number;
  readonly filesTotal?: number;
  readonly bytes: number;
  readonly bytesTotal?: number;
}

export interface ProgressBar extends Disposable {
  update(progress: TransferProgress): void;
}

const REDRAW_MS = 100;
/** Between the events that `--json` brings; a transfer that is done before the first says nothing. */
const EVENT_MS = 1000;
/** The rate shown is that of about this long, so that it follows the line and does not flicker. */
const RATE_WINDOW_MS = 3000;
const SILENT: ProgressBar = { update: () => undefined, [Symbol.dispose]: () => undefined };

/** @param isResultOnTerminal true when the command writes bytes to stdout: a bar would run through them on a terminal. */
export function progressBar(
  io: CliIo,
  output: Output,
  label: string,
  mode: ProgressMode = 'auto',
  isResultOnTerminal = false,
): ProgressBar {
  if (mode === 'json') return eventLines(io, label, 0);
  if (mode === 'never' || output.quiet) return SILENT;
  if (output.json) return eventLines(io, label, EVENT_MS);
  if (!io.stderrIsTerminal || isResultOnTerminal) return SILENT;
  return terminalBar(io, label);
}

/** Adds up the progress of transfers that run side by side, once the totals of all of them are known. */
export class SumOfProgress {
  private readonly parts = new Map<string, TransferProgress>();
  constructor(
    private readonly bar: ProgressBar,
    private readonly count: number,
  ) {}

  /** What one of them tells. */
  of(part: string): (progress: TransferProgress) => void {
    return (progress) => {
      this.parts.set(part, progress);
      if (this.count === 1) return this.bar.update(progress);
      const parts = [...this.parts.values()];
      const sum = (of: (progress: TransferProgress) => number | undefined) => parts.reduce((total, one) => total + (of(one) ?? 0), 0);
      const isDone = parts.length === this.count && parts.every(({ phase }) => phase === 'done');
      this.bar.update({
        phase: isDone ? 'done' : 'transfer',
        bytes: sum(({ bytes }) => bytes),
        files: parts.filter(({ phase }) => phase === 'done').length,
        filesTotal: this.count,
        ...(parts.length === this.count ? { bytesTotal: sum(({ bytesTotal, bytes }) => bytesTotal ?? bytes) } : {}),
      });
    };
  }
}

function eventLines(io: CliIo, label: string, intervalMs: number): ProgressBar {
  let toldAt = io.clock.monotonicMs();
  let hasTold = intervalMs === 0;
  return {
    update(progress) {
      const now = io.clock.monotonicMs();
      const isEnd = hasTold && progress.phase === 'done';
      if (now - toldAt < intervalMs && !isEnd) return;
      toldAt = now;
      hasTold = true;
      io.stderr.write(`${JSON.stringify({ event: 'progress', what: label, ...progress })}\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}

function terminalBar(io: CliIo, label: string): ProgressBar {
  const speed = new Speedometer(io.clock);
  let drawnAt = -Infinity;
  let isDrawn = false;
  return {
    update(progress) {
      const now = io.clock.monotonicMs();
      speed.note(progress.bytes);
      if (now - drawnAt < REDRAW_MS && progress.phase !== 'done') return;
      drawnAt = now;
      isDrawn = true;
      io.stderr.write(`\r\u001b[K${drawLine(label, progress, speed.bytesPerSecond(), io.columns())}`);
    },
    // The line goes away: what remains on the terminal is the result.
    [Symbol.dispose]: () => void (isDrawn && io.stderr.write('\r\u001b[K')),
  };
}

/** One line that fits into `width` columns. */
export function drawLine(label: string, progress: TransferProgress, bytesPerSecond: number, width: number): string {
  const { bytes, bytesTotal, files, filesTotal, phase } = progress;
  if (phase === 'scan') return clip(`${label}  looking … ${files ?? 0} entries, ${formatSize(bytes)}`, width);
  if (phase === 'publish') return clip(`${label}  publishing …`, width);
  const counted = files === undefined || filesTotal === undefined || filesTotal <= 1 ? '' : `  ${files}/${filesTotal} files`;
  const rate = bytesPerSecond > 0 ? `  ${formatSize(Math.round(bytesPerSecond))}/s` : '';
  if (bytesTotal === undefined) return clip(`${label}  ${formatSize(bytes)}${counted}${rate}`, width);
  const share = bytesTotal === 0 ? 1 : Math.min(1, bytes / bytesTotal);
  const eta = bytesPerSecond > 0 && share < 1 ? `  ETA ${formatClock((bytesTotal - bytes) / bytesPerSecond)}` : '';
  const percent = `${String(Math.floor(share * 100)).padStart(3)}%`;
  const amounts = `  ${formatSize(bytes)}/${formatSize(bytesTotal)}`;
  const facts = `${percent}${amounts}${counted}${rate}${eta}`;
  const cells = Math.min(30, width - label.length - facts.length - 6);
  if (cells >= 5) {
    const done = Math.round(share * cells);
    return `${label} [${'#'.repeat(done)}${'-'.repeat(cells - done)}] ${facts}`;
  }
  // Where not all of it fits, what is told last is what people wait for.
  const shorter = [facts, `${percent}${amounts}${rate}${eta}`, `${percent}${rate}${eta}`, `${percent}${eta}`].map(
    (text) => `${label} ${text}`,
  );
  return shorter.find((text) => text.length < width) ?? clip(shorter.at(-1) ?? '', width);
}

class Speedometer {
  private readonly marks: { readonly atMs: number; readonly bytes: number }[] = [];
  constructor(private readonly clock: Clock) {}

  note(bytes: number): void {
    const atMs = this.clock.monotonicMs();
    this.marks.push({ atMs, bytes });
    while (this.marks.length > 2 && atMs - (this.marks[0]?.atMs ?? atMs) > RATE_WINDOW_MS) this.marks.shift();
  }

  bytesPerSecond(): number {
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    if (first === undefined || last === undefined || last.atMs - first.atMs < 50) return 0;
    return ((last.bytes - first.bytes) / (last.atMs - first.atMs)) * 1000;
  }
}

/** One column is left free: a full last column makes some terminals break the line. */
function clip(text: string, width: number): string {
  return text.length < width ? text : text.slice(0, Math.max(0, width - 1));
}
