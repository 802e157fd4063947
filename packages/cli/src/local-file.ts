/** A local file as it is to be published: its bytes by name, its mode and its times. */
import type { BigIntStats } from 'node:fs';
import { timespecFromNs, type Timespec } from '@nokv/types';

export interface LocalFile {
  /** Bytes where the path is not UTF-8. */
  readonly file: string | Uint8Array;
  /** The 12 permission bits. */
  readonly mode: number;
  readonly mtime: Timespec;
  readonly size: number;
}

export function localFileOf(file: string | Uint8Array, found: BigIntStats): LocalFile {
  return { file, mode: Number(found.mode & 0o7777n), mtime: timespecFromNs(found.mtimeNs), size: Number(found.size) };
}
