/**
 * Calls of the local kernel that Node does not have: extended attributes, times to the nanosecond, device nodes.
 *
 * The library `koffi`, in one file. It is an optional dependency: without it (or away from Linux) {@link localCalls} is undefined and
 * transfers keep microseconds and no extended attributes, which their reports say. The calls are made on the calling
 * thread: each touches one inode and takes microseconds on a local file system, a twentieth of a trip to a thread of the pool.
 */
import { constants as osConstants } from 'node:os';
import type { Timespec } from '@nokv/types';

export interface LocalCalls {
  /** Names in the order of the file system; empty where it has none. Symlinks are not followed, here and below. */
  listXattrs(path: Buffer): readonly Buffer[];
  getXattr(path: Buffer, name: Uint8Array): Buffer;
  setXattr(path: Buffer, name: Uint8Array, value: Uint8Array): void;
  removeXattr(path: Buffer, name: Uint8Array): void;
  /** @param atime absent: left as it is. */
  setTimes(path: Buffer, atime: Timespec | undefined, mtime: Timespec): void;
  /** @param mode type and permission bits, as in `st_mode`; the umask applies. */
  makeNode(path: Buffer, mode: number, rdev: number): void;
}

type Native = (...args: unknown[]) => number | bigint;
interface Koffi {
  load(library: null): { func(signature: string): Native };
  errno(): number;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** `tv_nsec` of a time that stays. */
const UTIME_OMIT = 0x3fff_fffen;
const XATTR_LIST_BYTES_MAX = 64 * 1024;
const XATTR_VALUE_BYTES_MAX = 64 * 1024;
/** Lists of attributes grow while they are read: asked again so often. */
const ATTEMPTS_MAX = 8;
const EMPTY = Buffer.alloc(0);

const ERRNO_NAMES = new Map(Object.entries(osConstants.errno).map(([name, number]) => [number, name]));

let loaded: Promise<LocalCalls | undefined> | undefined;

/** Loaded once; undefined where they cannot be had. */
export function localCalls(): Promise<LocalCalls | undefined> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<LocalCalls | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const name = 'koffi';
    const { default: koffi } = (await import(name)) as { readonly default: Koffi };
    return callsOver(koffi);
  } catch {
    // Not installed, or no binary for this machine.
    return undefined;
  }
}

function callsOver(koffi: Koffi): LocalCalls {
  const libc = koffi.load(null);
  const list = libc.func('int64_t llistxattr(const void *path, void *list, size_t size)');
  const get = libc.func('int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)');
  const set = libc.func('int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)');
  const remove = libc.func('int lremovexattr(const void *path, const void *name)');
  const times = libc.func('int utimensat(int directory, const void *path, const void *times, int flags)');
  const node = libc.func('int mknod(const void *path, uint32_t mode, uint64_t rdev)');

  const errnoName = (): string => ERRNO_NAMES.get(koffi.errno()) ?? `errno ${koffi.errno()}`;
  const done = (call: string, answer: number | bigint): number => {
    if (Number(answer) >= 0) return Number(answer);
    throw systemError(call, errnoName());
  };
  /** Asks for the size first: most files have no attributes, and that answer needs no buffer. */
  const sized = (call: string, most: number, ask: (into: Buffer) => number | bigint): Buffer => {
    for (let attempt = 0; ; attempt += 1) {
      const size = done(call, ask(EMPTY));
      if (size === 0) return EMPTY;
      const into = Buffer.allocUnsafe(Math.min(size, most));
      const answer = Number(ask(into));
      if (answer >= 0) return into.subarray(0, answer);
      const name = errnoName();
      if (name !== 'ERANGE' || attempt >= ATTEMPTS_MAX) throw systemError(call, name);
    }
  };

  return {
    listXattrs(path) {
      const text = terminated(path);
      let names: Buffer;
      try {
        names = sized('llistxattr', XATTR_LIST_BYTES_MAX, (into) => list(text, into, into.length));
      } catch (error) {
        if (isSystemError(error, 'ENOTSUP') || isSystemError(error, 'EOPNOTSUPP')) return [];
        throw error;
      }
      return splitNames(names);
    },
    getXattr(path, name) {
      const [text, key] = [terminated(path), terminated(name)];
      return sized('lgetxattr', XATTR_VALUE_BYTES_MAX, (into) => get(text, key, into, into.length));
    },
    setXattr: (path, name, value) => void done('lsetxattr', set(terminated(path), terminated(name), value, value.length, 0)),
    removeXattr: (path, name) => void done('lremovexattr', remove(terminated(path), terminated(name))),
    setTimes: (path, atime, mtime) => void done('utimensat', times(AT_FDCWD, terminated(path), timesOf(atime, mtime), AT_SYMLINK_NOFOLLOW)),
    makeNode: (path, mode, rdev) => void done('mknod', node(terminated(path), mode, rdev)),
  };
}

/** `struct timespec[2]` of 64-bit machines. */
function timesOf(atime: Timespec | undefined, mtime: Timespec): Buffer {
  const both = Buffer.alloc(32);
  both.writeBigInt64LE(BigInt(atime?.sec ?? 0), 0);
  both.writeBigInt64LE(atime === undefined ? UTIME_OMIT : BigInt(atime.nsec), 8);
  both.writeBigInt64LE(BigInt(mtime.sec), 16);
  both.writeBigInt64LE(BigInt(mtime.nsec), 24);
  return both;
}

function splitNames(list: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < list.length;) {
    const end = list.indexOf(0, start);
    if (end < 0) break;
    names.push(list.subarray(start, end));
    start = end + 1;
  }
  return names;
}

function terminated(text: Uint8Array): Buffer {
  const bytes = Buffer.alloc(text.length + 1);
  bytes.set(text);
  return bytes;
}

/** Shaped like Node's own, so that one translation serves both. */
function systemError(call: string, code: string): Error {
  return Object.assign(new Error(`${code}: ${call}`), { code });
}

export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
