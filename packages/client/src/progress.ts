/** What a long transfer tells its caller while it runs. */

export interface Progress {
  /** `scan` walks the source, `transfer` moves bytes, `publish` is the commit that makes a tree visible. */
  readonly phase: 'scan' | 'transfer' | 'publish' | 'done';
  /** Entries that are finished: files, symlinks and directories. */
  readonly files: number;
  /** Known once the scan has ended. */
  readonly filesTotal?: number;
  /** Bytes of bodies that are finished or under way. */
  readonly bytes: number;
  readonly bytesTotal?: number;
}

/** Called at most every 50 ms and once at the end; must not throw. */
export type ProgressListener = (progress: Progress) => void;
