/** Backups: a consistent image of a shard's metadata, written by its server. */
import type { Version } from './ids.js';

export interface BackupArgs {
  /** `file:///dir` or `s3://bucket/prefix?…`, as the server reaches it; nothing may be there yet. */
  readonly destination: string;
}

/** At most this many bytes. */
export const BACKUP_DESTINATION_BYTES_MAX = 4096;

/** What was written so far, after each block; the last item says what the backup is. */
export type BackupItem =
  | { readonly kind: 'progress'; readonly rows: number; readonly bytes: number }
  | ({ readonly kind: 'done' } & BackupReport);

export interface BackupReport {
  /** The commit that it holds everything up to. */
  readonly version: Version;
  readonly rows: number;
  readonly bytes: number;
  readonly blocks: number;
  /** Of the state, hex: a restore of it has the same. */
  readonly digest: string;
}
