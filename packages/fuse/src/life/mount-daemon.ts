import { NokvError } from '@nokv/types';
import type { MountOptions, SessionKind } from './mount-options.js';

/** The serialisable part of {@link MountOptions}; travels over the daemon's standard input, never on a command line. */
export interface DaemonOptions extends Omit<MountOptions, 'connect' | 'log' | 'clock' | 'random'> {
  readonly connect: {
    readonly address: string | readonly string[];
    readonly token?: string | undefined;
    readonly timeoutMs?: number | undefined;
    /** Environment for credentials of a bucket; the daemon's own environment when absent. */
    readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  };
  /** Default: `<run directory>/<hash>.log`. */
  readonly logFile?: string | undefined;
  /** How long to wait for the mount to answer; milliseconds, default 20,000. */
  readonly readyTimeoutMs?: number | undefined;
}

export interface MountDaemon {
  readonly pid: number;
  readonly directory: string;
  readonly session: SessionKind;
  readonly lacks: readonly string[];
  readonly logFile: string;
}

/** Starts a detached process that serves the mount; resolves when the mount answers, rejects with the daemon's own error. */
export async function spawnMountDaemon(options: DaemonOptions): Promise<MountDaemon> {
  throw new NokvError('unsupported', `cannot mount on ${options.directory} yet`);
}
