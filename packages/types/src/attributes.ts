/** What the namespace knows about an inode. */
import type { Generation, InodeNumber } from './ids.js';
import type { Timespec } from './time.js';

export type InodeType = 'file' | 'directory' | 'symlink' | 'fifo' | 'char' | 'block' | 'socket';

/** Fixed codes of inode types: on disk, on the wire and in dentries. */
export const INODE_TYPES: readonly InodeType[] = ['file', 'directory', 'symlink', 'fifo', 'char', 'block', 'socket'];

/** The S_IFMT bits of each type (POSIX `st_mode`). */
export const INODE_TYPE_BITS: Readonly<Record<InodeType, number>> = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

export interface Attributes {
  readonly ino: InodeNumber;
  readonly type: InodeType;
  /** The 12 permission bits (07777), without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  /** Bytes of a file's body or of a symlink's target; 0 for the rest. */
  readonly size: number;
  /** 512-byte units that the body takes; holes take none. */
  readonly blocks: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  /** Device number of char and block nodes, else 0. */
  readonly rdev: number;
  /** Rises by one with every change of the inode, metadata included. */
  readonly revision: number;
  /** The version that published the current body; 0 while there was none. */
  readonly generation: Generation;
  /** 1 for the first body, 2 for the next …; 0 while there was none. */
  readonly ordinal: number;
  /** Entries of a directory, else 0. */
  readonly children: number;
}

/** {@link Attributes} with what is kept beside the inode; `stat` returns it, `lookup` does not. */
export interface NodeCard extends Attributes {
  /** `sha256:<hex>`, `blake3:<hex>`; absent where the body was changed in place or there is none. */
  readonly digest?: string;
  readonly contentType?: string;
  readonly producer?: string;
  /** True when the body lives inside the metadata. */
  readonly inline: boolean;
  /** A symlink's target. */
  readonly target?: Uint8Array;
  /** Names of the extended attributes, sorted. */
  readonly xattrs: readonly Uint8Array[];
}
