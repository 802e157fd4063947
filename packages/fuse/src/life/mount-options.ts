/** What a mount is told, and what a running mount offers. */
import type { ConnectOptions } from '@nokv/client';
import type { Clock, Random } from '@nokv/types';

export type SessionKind = 'kernel' | 'fuse-native';

export interface MountOptions {
  /** How the server is reached; the mount opens one connection of its own. */
  readonly connect: ConnectOptions;
  /** An existing directory. A dead mount that lies on it (ENOTCONN) is taken away first. */
  readonly directory: string;
  /** Path inside the namespace that becomes the root of the mount; default `/`. */
  readonly root?: string | undefined;
  readonly readOnly?: boolean | undefined;
  /** Other users may enter, checked by mode bits; default: true for uid 0, else false. */
  readonly allowOther?: boolean | undefined;
  /** Default `auto`: the kernel session where this process may mount, else `fuse-native`. */
  readonly session?: SessionKind | 'auto' | undefined;
  /** How long a call waits for a server that is away before it fails; milliseconds, default 30,000. */
  readonly callTimeoutMs?: number | undefined;
  /** How long the kernel may keep entries and attributes while the change stream is live; milliseconds, default 300,000. */
  readonly cacheTimeoutMs?: number | undefined;
  /** Where state files of running mounts lie; default {@link defaultRunDirectory}. */
  readonly runDirectory?: string | undefined;
  /** Where the log goes, for the record only. */
  readonly logFile?: string | undefined;
  /** One line per event worth an operator's eye; default: silent. */
  readonly log?: ((line: string) => void) | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface RunningMount {
  readonly directory: string;
  readonly session: SessionKind;
  /** What this session cannot do, in words for people; empty for the kernel session. */
  readonly lacks: readonly string[];
  /** Publishes all that is dirty and waits until it is durable. */
  drain(): Promise<void>;
  /** Drains (bounded by the call timeout), unmounts, closes the connection. Detaches lazily when the mount is busy and `force` is set. */
  unmount(options?: { readonly force?: boolean }): Promise<void>;
  /** Resolves when the mount is gone, however that came about. */
  readonly closed: Promise<void>;
}
