/**
 * The port between a session (kernel protocol or `fuse-native`) and the filesystem core: requests in, replies out, on node
 * numbers. A method answers at once or with a promise and throws `SystemError` or `NokvError`.
 *
 * Bytes handed in are the session's and are lent until the method first awaits; bytes handed out belong to the session.
 * Every reply that carries an {@link Entry} with a node adds one to the node's lookup count; `forget` takes them back.
 */
import type { Attributes, Timespec } from '@nokv/types';

export type Awaitable<T> = T | Promise<T>;

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A name that was looked up. `node` 0 says that nothing is there, and for how long the kernel may believe it. */
export interface Entry {
  readonly node: number;
  readonly attributes: Attributes | undefined;
  /** How long the name and the attributes may be kept. */
  readonly timeoutMs: number;
}

export interface AttributesReply {
  readonly attributes: Attributes;
  readonly timeoutMs: number;
}

export interface OpenReply {
  readonly handle: number;
  /** Pages of an earlier open are still right. */
  readonly keepCache: boolean;
  /** Reads bypass the page cache. */
  readonly directIo: boolean;
  /** The close of this handle needs no flush. */
  readonly noFlush: boolean;
}

export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Timespec | 'now';
  readonly mtime?: Timespec | 'now';
  /** Clear setuid, and setgid of group executables, as a write does. */
  readonly killPrivileges?: boolean;
}

/** open(2) flags of Linux (asm-generic/fcntl.h). */
export const O = {
  ACCMODE: 3,
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  DSYNC: 0o10000,
  SYNC: 0o4010000,
};

/** Takes directory entries until it is full (`false`: this entry was not taken, stop). */
export interface EntrySink {
  /** `cookie` names the position after this entry. `entry` is there when attributes were asked for. */
  add(name: Uint8Array, ino: number, typeBits: number, cookie: number, entry?: Entry): boolean;
}

export interface FileSystemStatistics {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

export interface FileSystem {
  readonly readOnly: boolean;

  lookup(parent: number, name: Uint8Array): Awaitable<Entry>;
  forget(node: number, count: number): void;
  getattr(node: number, handle: number | undefined): Awaitable<AttributesReply>;
  setattr(node: number, change: AttributeChange, handle: number | undefined): Awaitable<AttributesReply>;
  readlink(node: number): Awaitable<Uint8Array>;
  /** `mode` carries the type bits. */
  mknod(parent: number, name: Uint8Array, mode: number, rdev: number, caller: Caller): Awaitable<Entry>;
  mkdir(parent: number, name: Uint8Array, mode: number, caller: Caller): Awaitable<Entry>;
  symlink(parent: number, name: Uint8Array, target: Uint8Array, caller: Caller): Awaitable<Entry>;
  link(node: number, parent: number, name: Uint8Array): Awaitable<Entry>;
  unlink(parent: number, name: Uint8Array): Awaitable<void>;
  rmdir(parent: number, name: Uint8Array): Awaitable<void>;
  rename(
    parent: number,
    name: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    mode: 'replace' | 'no-replace' | 'exchange',
  ): Awaitable<void>;

  open(node: number, flags: number, killPrivileges: boolean): Awaitable<OpenReply>;
  create(parent: number, name: Uint8Array, mode: number, flags: number, caller: Caller): Awaitable<{ entry: Entry; open: OpenReply }>;
  /** Fewer bytes than asked for only at the end of the file. */
  read(node: number, handle: number, offset: number, size: number): Awaitable<readonly Uint8Array[]>;
  write(node: number, handle: number, offset: number, bytes: Uint8Array, killPrivileges: boolean): Awaitable<number>;
  flush(node: number, handle: number): Awaitable<void>;
  release(node: number, handle: number): Awaitable<void>;
  fsync(node: number, handle: number | undefined): Awaitable<void>;
  fallocate(node: number, handle: number, mode: number, offset: number, length: number): Awaitable<void>;
  /** `data` or `hole` at or after `offset` (lseek SEEK_DATA, SEEK_HOLE). */
  seek(node: number, handle: number, offset: number, what: 'data' | 'hole'): Awaitable<number>;

  opendir(node: number): Awaitable<number>;
  readdir(node: number, handle: number, cookie: number, plus: boolean, sink: EntrySink): Awaitable<void>;
  releasedir(node: number, handle: number): void;
  fsyncdir(node: number): Awaitable<void>;

  statfs(): Awaitable<FileSystemStatistics>;
  syncfs(): Awaitable<void>;
  getxattr(node: number, name: Uint8Array): Awaitable<Uint8Array>;
  listxattr(node: number): Awaitable<readonly Uint8Array[]>;
  setxattr(node: number, name: Uint8Array, value: Uint8Array, mode: 'set' | 'create' | 'replace'): Awaitable<void>;
  removexattr(node: number, name: Uint8Array): Awaitable<void>;
}

/** What the core tells a session when something changed behind the kernel's back. Never blocks the caller. */
export interface Invalidator {
  invalidateEntry(parent: number, name: Uint8Array): void;
  /** Attributes, and with `data` the cached pages (of a directory: its cached listing). */
  invalidateNode(node: number, data: boolean): void;
}

/** A live session below a filesystem. */
export interface Session extends Invalidator {
  /** Resolves when the kernel let go of the mount. */
  readonly closed: Promise<void>;
  /** Asks the kernel to let go; `force` detaches even when files are open. Rejects `directory-in-use`. */
  unmount(force: boolean): Promise<void>;
}
