/** Changes as a watcher by path sees them. */
import type { ChangeKind, Generation, InodeNumber, InodeType, Timespec, Version } from '@nokv/types';

export interface WatchOptions {
  /** Changes of versions greater than this one; default: from now on. */
  readonly since?: Version | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WatchEvent {
  /** Give it as `since` to go on after this event's commit. */
  readonly version: Version;
  readonly kind: ChangeKind;
  /** Where it happened: the parent's present path and the name at the event. Absent once the parent is gone. */
  readonly path?: string;
  /** The old place of a rename. */
  readonly fromPath?: string;
  readonly ino: InodeNumber;
  readonly type: InodeType;
  readonly generation?: Generation;
  readonly actor: string;
  readonly requestId: string;
  readonly time: Timespec;
}
