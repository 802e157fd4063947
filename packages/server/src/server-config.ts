import type { ImagePolicy } from '@nokv/meta';
import type { Clock, Random } from '@nokv/types';

/** What `startServer` is told; the CLI resolves flags, environment and file into it. */
export interface ServerConfig {
  /** Data directory: LMDB environment, file store, lock file. Made when absent. */
  readonly data: string;
  /** `host:port` or `unix:/path`; port 0 picks a free one. */
  readonly listen: string;
  readonly http: string;
  /** `file:///dir` (default `<data>/objects`) or `s3://bucket/prefix?endpoint=…&region=…&pathStyle=true`. */
  readonly object: string | undefined;
  /** `embedded:` or `etcd://host:2379[,host…]/prefix`. */
  readonly control: string;
  /**
   * When a write is acknowledged: `local` after fsync; `shared` when it is in the log in the object store, from which any node can
   * take over; `async` after fsync, with the log following within a bound, which a takeover may lose.
   */
  readonly durability: Durability;
  readonly nodeId: string | undefined;
  readonly leaseTtlMs: number;
  /**
   * How long blocks are kept after their upload ended without publishing them (default one minute): a client that was
   * told too late may still be sending some.
   */
  readonly uploadGraceMs?: number | undefined;
  /** How long blocks that nothing knows stay after they were found in the store (default 24 hours). */
  readonly orphanGraceMs?: number | undefined;
  /** When images of the log are written and how long they stay; default: see `ImagePolicy`. */
  readonly images?: Partial<ImagePolicy> | undefined;
  /** How much of the change log is kept for watchers and listings of what happened; results of requests no longer than that. */
  readonly changeWindow?: ChangeWindow | undefined;
  /** Keeps blocks that clients read through this server on its disk; default: none are kept. */
  readonly cache?: BlockCacheConfig | undefined;
  /** JSON lines on stderr from this level on; default `info`. */
  readonly logLevel?: LogLevel | undefined;
}

export interface BlockCacheConfig {
  readonly directory: string;
  /** What it may hold; default 10 GiB. */
  readonly bytesMax?: number | undefined;
  /** What its file system must keep free; default a tenth of it, at most 10 GiB. */
  readonly freeBytesMin?: number | undefined;
  /** Blocks kept in memory beside it; default 16 MiB. */
  readonly memoryBytes?: number | undefined;
}

export type Durability = 'local' | 'shared' | 'async';
/** What is older, further back or too much goes; each absent bound has its default. */
export interface ChangeWindow {
  /** Default 24 hours. */
  readonly ms?: number | undefined;
  /** Default 2 GiB. */
  readonly bytes?: number | undefined;
  /** Every start of a server that was killed skips up to 2^20 versions. Default 2^27. */
  readonly versions?: number | undefined;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What the process passes in; each has a default that is the real thing. */
export interface ServerPorts {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /**
   * Environment that the S3 adapter reads its credentials from (`AWS_…`). `NOKV_FAILPOINTS` is honoured only where
   * `NODE_ENV` is `test`. Default: empty.
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Ends a start that still waits for its store or its lease; a running server is ended by `stop`. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunningServer {
  /** Bound addresses, `host:port` or `unix:/path`. */
  readonly rpc: string;
  readonly http: string;
  readonly data: string;
  readonly objectStore: string;
  readonly control: string;
  /** Whether it serves now; one that stands by serves as soon as the owner is gone. */
  isServing(): boolean;
  /** Stops taking work, finishes what is in flight (bounded by `graceMs`), flushes, releases ownership and locks. */
  stop(graceMs?: number): Promise<void>;
  /** Resolves when the server stopped by itself, with the reason. */
  readonly failed: Promise<Error>;
}
