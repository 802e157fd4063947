/** Options and reports of transfers of whole directories. */
import type { Owner, RequestId, Version } from '@nokv/types';
import type { AtOption } from './history.js';
import type { CallOptions } from './metadata-client.js';
import type { ProgressListener } from './progress.js';

export interface PutTreeOptions extends CallOptions {
  /** Replace what is at the destination, in the same commit (`putTree` only). */
  readonly replace?: boolean | undefined;
  /** Make missing parents of the destination (default true). */
  readonly parents?: boolean | undefined;
  /** Operations and uploads in flight, 1 to 256; default 64. Large bodies are moved three at a time. */
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Fifos, sockets and devices: `refuse` (default) before anything is sent, or `skip` and name them in the report. */
  readonly specialFiles?: 'refuse' | 'skip' | undefined;
  readonly producer?: string | undefined;
  readonly owner?: Owner | undefined;
  /** Of the commit that makes the tree visible (`putTree` only). */
  readonly requestId?: RequestId | undefined;
}

export interface GetTreeOptions extends CallOptions, AtOption {
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Overwrite local files that are there (default false: `exists` before anything is fetched). */
  readonly replace?: boolean | undefined;
}

export interface TreeReport {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  readonly bytes: number;
  /** What was left out, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** The commit that made a tree visible. */
  readonly version?: Version;
  readonly requestId?: RequestId;
}
