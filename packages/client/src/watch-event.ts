/** Changes as a watcher by path sees them. */
import type { ChangeKind, Generation, InodeNumber, InodeType, Timespec, Version } from '@nokv/types';
import type { CallOptions } from './metadata-client.js';

/** Which changes are wanted; what is absent leaves nothing out. */
export interface ChangeChoice {
  /** Only these kinds. */
  readonly kinds?: readonly ChangeKind[] | undefined;
  /** Leave out what this client changes itself: every mutation under a request id that it drew. */
  readonly excludeSelf?: boolean | undefined;
  /** Only changes by these actors; a `*` at the end stands for any rest, as in `cli:*`. */
  readonly actors?: readonly string[] | undefined;
  readonly exceptActors?: readonly string[] | undefined;
}

export interface WatchOptions extends ChangeChoice {
  /** The cursor of an event, or a version: changes after it. Default: from now on. */
  readonly since?: string | Version | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PastChangesOptions extends ChangeChoice, CallOptions {
  /** Only changes after this cursor or version; default: all that the server keeps. */
  readonly since?: string | Version | undefined;
  /** Default: the newest come first. */
  readonly oldestFirst?: boolean | undefined;
}

export interface WatchEvent {
  /** Give it as `since` to go on after this event. */
  readonly cursor: string;
  readonly version: Version;
  /** Counts the changes of one version. */
  readonly ordinal: number;
  readonly kind: ChangeKind;
  /**
   * Where it happened, as of the event: of `removed` the place that is empty now, of `renamed` the new one. Absent for what was
   * renamed to a place outside what is watched.
   */
  readonly path?: string;
  /** The old place of a rename; absent for what came from outside what is watched. */
  readonly fromPath?: string;
  readonly ino: InodeNumber;
  readonly type: InodeType;
  readonly generation?: Generation;
  readonly actor: string;
  readonly requestId: string;
  readonly time: Timespec;
}

/** Events in order, each once; ends when the signal fires or the client closes. To be iterated once. */
export interface Watch extends AsyncIterable<WatchEvent> {
  /** Up to where everything was handed out; undefined before the server has answered. Moves on also where nothing is to be seen. */
  readonly cursor: string | undefined;
}
