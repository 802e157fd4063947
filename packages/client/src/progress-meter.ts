/** Collects what a transfer has done and tells its listener now and then. */
import type { Clock } from '@nokv/types';
import type { Progress, ProgressListener } from './progress.js';

const INTERVAL_MS = 50;

export class ProgressMeter {
  readonly #listener: ProgressListener | undefined;
  readonly #clock: Clock;
  #phase: Progress['phase'] = 'scan';
  #filesTotal: number | undefined;
  #bytesTotal: number | undefined;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  files = 0;
  bytes = 0;

  constructor(listener: ProgressListener | undefined, clock: Clock) {
    this.#listener = listener;
    this.#clock = clock;
  }

  get isHeard(): boolean {
    return this.#listener !== undefined;
  }

  phase(phase: Progress['phase'], totals: { readonly files?: number | undefined; readonly bytes?: number | undefined } = {}): void {
    this.#phase = phase;
    this.#filesTotal = totals.files ?? this.#filesTotal;
    this.#bytesTotal = totals.bytes ?? this.#bytesTotal;
    this.#tell();
  }

  add(files: number, bytes: number): void {
    this.files += files;
    this.bytes += bytes;
    if (this.#listener === undefined) return;
    if (this.#clock.monotonicMs() - this.#toldAtMs >= INTERVAL_MS) this.#tell();
  }

  #tell(): void {
    if (this.#listener === undefined) return;
    this.#toldAtMs = this.#clock.monotonicMs();
    this.#listener({
      phase: this.#phase,
      files: this.files,
      bytes: this.bytes,
      ...(this.#filesTotal === undefined ? {} : { filesTotal: this.#filesTotal }),
      ...(this.#bytesTotal === undefined ? {} : { bytesTotal: this.#bytesTotal }),
    });
  }
}
