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
  readonly durability: 'local';
  readonly nodeId: string | undefined;
  readonly leaseTtlMs: number;
  /**
   * How long blocks are kept after their upload ended without publishing them (default one minute): a client that was
   * told too late may still be sending some.
   */
  readonly uploadGraceMs?: number | undefined;
  /** JSON lines on stderr from this level on; default `info`. */
  readonly logLevel?: LogLevel | undefined;
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
  /** Stops taking work, finishes what is in flight (bounded by `graceMs`), flushes, releases ownership and locks. */
  stop(graceMs?: number): Promise<void>;
  /** Resolves when the server stopped by itself, with the reason. */
  readonly failed: Promise<Error>;
}
