/** A durability sink that feeds the shared log: what the process around a shard sees of it. */
import type { NokvError } from '@nokv/types';
import type { DurabilitySink } from '../durability-sink.js';
import type { LogPosition } from './log-position.js';

export interface LogSink extends DurabilitySink {
  readonly stats: LogStats;
  /** Why nothing more is appended, ever; undefined while it goes on. */
  readonly ended: NokvError | undefined;
  /** Resolves with the reason when nothing more is appended, ever: another owner writes, or nobody can tell. */
  readonly whenEnded: Promise<NokvError>;
  /** Resolves when everything that was committed is in the log. */
  shipped(): Promise<void>;
  /** Appends nothing more; what is under way may still come to be in the log. Harmless when repeated. */
  stop(): void;
  /** Runs `act` at a moment at which the store is the state after a segment of the log, neither more nor less. */
  atSegment<T>(act: () => T): Promise<T>;
}

export interface LogStats {
  /** Appends that went through, and their bytes. */
  readonly segments: number;
  readonly bytes: number;
  readonly position: LogPosition;
  /** Batches that are committed here and not in the log yet, their bytes, and how long the oldest has waited. */
  readonly unshipped: { readonly batches: number; readonly bytes: number; readonly ageMs: number };
}

export const NOTHING_UNSHIPPED: LogStats['unshipped'] = { batches: 0, bytes: 0, ageMs: 0 };
