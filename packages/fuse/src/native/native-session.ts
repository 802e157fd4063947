/**
 * The fallback session: libfuse through `@cocalc/fuse-native`, for processes that may not mount themselves and for macOS.
 * Path-based: every call walks its path; libfuse keeps entries and attributes for about a second.
 */
import { INODE_TYPE_BITS, timespecFromMs, timespecToMs, type Attributes } from '@nokv/types';
import { ERRNO, SystemError, errnoFor } from '../session/errno.js';
import { O, type Caller, type FileSystem, type Session } from '../session/file-system.js';
import { mountedType, unmountDevice } from '../kernel/mount-device.js';
import { loadFuseNative, type NativeCallback, type NativeMount, type NativeOperation, type NativeStat } from './fuse-native-binding.js';
import { PathWalker } from './path-walker.js';

export const NATIVE_LACKS: readonly string[] = [
  'names that are not UTF-8',
  'invalidation by events (changes of others show within about a second)',
  'rename flags, fallocate, holes in sparse files, and inode identity',
  'several owners: everything that is created belongs to the user who mounted',
];

export interface NativeSessionOptions {
  readonly directory: string;
  readonly source: string;
  readonly allowOther: boolean;
  readonly log: (line: string) => void;
}

const MOUNT_POLL_MS = 500;
const READ_BYTES_MAX = 128 * 1024;
const BLOCK_BYTES = 4096;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
/** fuse-native hands over "not given" as this. */
const KEEP_ID = 0xffff_ffff;

/** Mounts through libfuse; resolves when it answers. Errors: `unsupported` when the binding is not there. */
export async function openNativeSession(fileSystem: FileSystem, options: NativeSessionOptions): Promise<Session> {
  const Native = await loadFuseNative();
  const operations = nativeOperations(fileSystem, options.log);
  const native = new Native(options.directory, operations, {
    timeout: false,
    allowOther: options.allowOther,
    defaultPermissions: true,
    fsname: `nokv:${options.source}`,
    subtype: 'nokv',
    maxRead: READ_BYTES_MAX,
  });
  await new Promise<void>((resolve, reject) => native.mount((error) => (error ? reject(error) : resolve())));
  return new NativeSession(options.directory, native);
}

class NativeSession implements Session {
  readonly closed: Promise<void>;
  #close: () => void = () => undefined;
  readonly #watch: NodeJS.Timeout;

  constructor(
    readonly directory: string,
    readonly native: NativeMount,
  ) {
    this.closed = new Promise((resolve) => (this.#close = resolve));
    // libfuse says nothing when somebody else unmounts.
    this.#watch = setInterval(() => {
      if (mountedType(directory) === undefined) this.#end();
    }, MOUNT_POLL_MS);
  }

  invalidateEntry(): void {}

  invalidateNode(): void {}

  async unmount(force: boolean): Promise<void> {
    const failed = await new Promise<Error | null>((resolve) => this.native.unmount(resolve));
    if (failed !== null && failed !== undefined && mountedType(this.directory) !== undefined) await unmountDevice(this.directory, force);
    this.#end();
  }

  #end(): void {
    clearInterval(this.#watch);
    this.#close();
  }
}

/** Refused on a read-only mount, which libfuse itself does not know of. */
const CHANGES: ReadonlySet<string> = new Set(
  'create write truncate ftruncate utimens chmod chown mknod mkdir symlink link unlink rmdir rename setxattr removexattr'.split(' '),
);

type Answer = readonly [result: number, ...values: unknown[]] | number | undefined | void;

function nativeOperations(fileSystem: FileSystem, log: (line: string) => void): Record<string, NativeOperation> {
  const walker = new PathWalker(fileSystem);
  const caller: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: 0 };
  /** Nodes of open handles: held, so that an unlinked or renamed file stays reachable through them. */
  const open = new Map<number, number>();
  const nodeOf = (handle: number): number => {
    const node = open.get(handle);
    if (node === undefined) throw new SystemError(EBADF);
    return node;
  };
  const openAt = async (node: number, flags: number): Promise<number> => {
    const { handle } = await fileSystem.open(node, flags, false);
    open.set(handle, node);
    return handle;
  };
  const attributesAt = (path: string) => walker.at(path, async (node) => statOf((await fileSystem.getattr(node, undefined)).attributes));

  const answers: Readonly<Record<string, (...args: never[]) => Promise<Answer> | Answer>> = {
    init: () => 0,
    getattr: async (path: string) => [0, await attributesAt(path)],
    fgetattr: async (path: string) => [0, await attributesAt(path)],
    statfs: async () => {
      const { blockBytes, blocks, blocksFree, inodes, inodesFree } = await fileSystem.statfs();
      const sizes = { bsize: blockBytes, frsize: blockBytes, blocks, bfree: blocksFree, bavail: blocksFree };
      return [0, { ...sizes, files: inodes, ffree: inodesFree, favail: inodesFree, fsid: 0, flag: 0, namemax: 255 }];
    },
    readdir: (path: string) => walker.at(path, async (node) => [0, await namesIn(fileSystem, node)]),
    readlink: (path: string) => walker.at(path, async (node) => [0, Buffer.from(await fileSystem.readlink(node)).toString()]),
    open: (path: string, flags: number) =>
      walker.at(path, async (node) => {
        const handle = await openAt(node, flags & ~(O.CREAT | O.EXCL));
        await hold(fileSystem, walker, path);
        return [0, handle];
      }),
    create: (path: string, mode: number) =>
      walker.place(path, async (parent, name) => {
        const { entry, open: opened } = await fileSystem.create(parent, name, mode, O.RDWR, caller);
        open.set(opened.handle, entry.node);
        return [0, opened.handle];
      }),
    read: async (_path: string, handle: number, buffer: Buffer, length: number, offset: number) => {
      let at = 0;
      for (const chunk of await fileSystem.read(nodeOf(handle), handle, offset, length)) {
        buffer.set(chunk, at);
        at += chunk.length;
      }
      return at;
    },
    write: (_path: string, handle: number, buffer: Buffer, length: number, offset: number) =>
      fileSystem.write(nodeOf(handle), handle, offset, buffer.subarray(0, length), false),
    flush: (_path: string, handle: number) => fileSystem.flush(nodeOf(handle), handle),
    fsync: (_path: string, _dataOnly: boolean, handle: number) => fileSystem.fsync(nodeOf(handle), handle),
    fsyncdir: () => fileSystem.syncfs(),
    release: async (_path: string, handle: number) => {
      const node = nodeOf(handle);
      open.delete(handle);
      await fileSystem.release(node, handle);
      fileSystem.forget(node, 1);
    },
    truncate: (path: string, size: number) => walker.at(path, async (node) => void (await fileSystem.setattr(node, { size }, undefined))),
    ftruncate: async (_path: string, handle: number, size: number) => void (await fileSystem.setattr(nodeOf(handle), { size }, handle)),
    utimens: (path: string, atimeMs: number, mtimeMs: number) =>
      walker.at(path, async (node) => {
        await fileSystem.setattr(node, { atime: timespecFromMs(atimeMs), mtime: timespecFromMs(mtimeMs) }, undefined);
      }),
    chmod: (path: string, mode: number) =>
      walker.at(path, async (node) => void (await fileSystem.setattr(node, { mode: mode & 0o7777 }, undefined))),
    chown: (path: string, uid: number, gid: number) =>
      walker.at(path, async (node) => {
        const owner = { ...(uid >>> 0 === KEEP_ID ? {} : { uid }), ...(gid >>> 0 === KEEP_ID ? {} : { gid }) };
        await fileSystem.setattr(node, owner, undefined);
      }),
    mknod: (path: string, mode: number, rdev: number) =>
      walker.place(path, async (parent, name) => fileSystem.forget((await fileSystem.mknod(parent, name, mode, rdev, caller)).node, 1)),
    mkdir: (path: string, mode: number) =>
      walker.place(path, async (parent, name) => fileSystem.forget((await fileSystem.mkdir(parent, name, mode, caller)).node, 1)),
    symlink: (target: string, path: string) =>
      walker.place(path, async (parent, name) => {
        fileSystem.forget((await fileSystem.symlink(parent, name, Buffer.from(target), caller)).node, 1);
      }),
    link: (existing: string, path: string) =>
      walker.at(existing, (node) =>
        walker.place(path, async (parent, name) => fileSystem.forget((await fileSystem.link(node, parent, name)).node, 1)),
      ),
    unlink: (path: string) => walker.place(path, (parent, name) => fileSystem.unlink(parent, name)),
    rmdir: (path: string) => walker.place(path, (parent, name) => fileSystem.rmdir(parent, name)),
    rename: (from: string, to: string) =>
      walker.place(from, (parent, name) =>
        walker.place(to, (newParent, newName) => fileSystem.rename(parent, name, newParent, newName, 'replace')),
      ),
    getxattr: (path: string, name: string) =>
      walker.at(path, async (node) => [0, Buffer.from(await fileSystem.getxattr(node, Buffer.from(name)))]),
    listxattr: (path: string) =>
      walker.at(path, async (node) => [0, (await fileSystem.listxattr(node)).map((name) => Buffer.from(name).toString())]),
    setxattr: (path: string, name: string, value: Buffer, _position: number, flags: number) =>
      walker.at(path, (node) => {
        const mode = flags & XATTR_CREATE ? 'create' : flags & XATTR_REPLACE ? 'replace' : 'set';
        return fileSystem.setxattr(node, Buffer.from(name), Uint8Array.from(value), mode);
      }),
    removexattr: (path: string, name: string) => walker.at(path, (node) => fileSystem.removexattr(node, Buffer.from(name))),
  };
  return Object.fromEntries(
    Object.entries(answers).map(([name, answer]) => [
      name,
      (...args: readonly unknown[]) => {
        const callback = args.at(-1) as NativeCallback;
        if (fileSystem.readOnly && CHANGES.has(name)) return callback(-ERRNO.EROFS);
        void settle(name, () => answer(...(args.slice(0, -1) as never[])), callback, log);
      },
    ]),
  );
}

async function settle(
  name: string,
  answer: () => Promise<Answer> | Answer,
  callback: NativeCallback,
  log: (line: string) => void,
): Promise<void> {
  let result: Answer;
  try {
    result = await answer();
  } catch (error) {
    const errno = errnoFor(error);
    if (errno === ERRNO.EIO && !(error instanceof SystemError))
      log(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    callback(-errno);
    return;
  }
  if (typeof result === 'number') callback(result);
  else if (result === undefined) callback(0);
  else callback(...(result as [number, ...unknown[]]));
}

/** An open file keeps one lookup of its node, given back at release. */
async function hold(fileSystem: FileSystem, walker: PathWalker, path: string): Promise<void> {
  await walker.place(path, (parent, name) => fileSystem.lookup(parent, name));
}

async function namesIn(fileSystem: FileSystem, node: number): Promise<string[]> {
  const names: string[] = [];
  const handle = await fileSystem.opendir(node);
  try {
    await fileSystem.readdir(node, handle, 0, false, { add: (name) => names.push(Buffer.from(name).toString()) > 0 });
  } finally {
    fileSystem.releasedir(node, handle);
  }
  return names;
}

function statOf(attributes: Attributes): NativeStat {
  return {
    mode: INODE_TYPE_BITS[attributes.type] | attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    size: attributes.size,
    dev: 0,
    nlink: attributes.nlink,
    ino: attributes.ino,
    rdev: attributes.rdev,
    blksize: BLOCK_BYTES,
    blocks: attributes.blocks,
    atime: new Date(timespecToMs(attributes.atime)),
    mtime: new Date(timespecToMs(attributes.mtime)),
    ctime: new Date(timespecToMs(attributes.ctime)),
  };
}

/** asm-generic/errno-base.h */
const EBADF = 9;
