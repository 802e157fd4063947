/** What the passes of a check report and how each thing may be mended. */
import { formatName, type FsckClass, type FsckSeverity, type InodeNumber } from '@nokv/types';
import type { RepairFix } from '../command.js';

export interface Problem {
  readonly severity: FsckSeverity;
  readonly class: FsckClass;
  readonly where: string;
  /** The inode whose path helps to find it. */
  readonly ino?: InodeNumber;
  readonly expected: string;
  readonly found: string;
  /** Absent where mending needs a decision. */
  readonly fix?: RepairFix;
  /** The object to remove, for what the store alone knows. */
  readonly remove?: string;
  /** The fix takes something away for good: only for those who asked for that. */
  readonly drops?: boolean;
}

export function entryLabel(parent: number, name: Uint8Array): string {
  return `entry ${parent}/${formatName(name)}`;
}

export function rowLabel(key: Uint8Array): string {
  return `row ${Buffer.from(key).toString('hex')}`;
}

/** A row that its family's decoder refuses. */
export function undecodable(key: Uint8Array, what: string, error: unknown): Problem {
  return {
    severity: 'error',
    class: 'undecodable',
    where: `${what} (${rowLabel(key)})`,
    expected: 'a row that can be decoded',
    found:
      error instanceof Error ? error.message.replace(/^a stored row is damaged: /, '').replace(/; restore the shard.*$/, '') : 'damage',
  };
}
