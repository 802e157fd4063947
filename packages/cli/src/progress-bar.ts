/**
 * A line at the bottom of the terminal that says how far a transfer is. Drawn on stderr, only where a person sees it,
 * at most ten times a second; with `json` each change is one event a line instead.
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
  if (mode === 'json') return eventLines(io, label);
  if (mode === 'never' || output.quiet || output.json || !io.stderrIsTerminal || isResultOnTerminal) return SILENT;
  return terminalBar(io, label);
}

function eventLines(io: CliIo, label: string): ProgressBar {
  return {
    update: (progress) => void io.stderr.write(`${JSON.stringify({ event: 'progress', what: label, ...progress })}\n`),
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
  const facts = `${String(Math.floor(share * 100)).padStart(3)}%  ${formatSize(bytes)}/${formatSize(bytesTotal)}${counted}${rate}${eta}`;
  const cells = Math.min(30, width - label.length - facts.length - 6);
  if (cells < 5) return clip(`${label}  ${facts.trim()}`, width);
  const done = Math.round(share * cells);
  return `${label} [${'#'.repeat(done)}${'-'.repeat(cells - done)}] ${facts}`;
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
