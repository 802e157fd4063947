/** One request of the kernel protocol turned into one call of the filesystem, and its result into a reply. */
import type { Timespec } from '@nokv/types';
import { ERRNO, SystemError } from '../session/errno.js';
import type {
  AttributeChange,
  AttributesReply,
  Awaitable,
  Caller,
  Entry,
  EntrySink,
  FileSystem,
  OpenReply,
} from '../session/file-system.js';
import {
  GETATTR_FH,
  MAX_WRITE_BYTES,
  OPEN_KILL_SUIDGID,
  OUT_HEADER_BYTES,
  Opcode,
  OpenFlag,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  SEEK_DATA,
  SEEK_HOLE,
  SetattrValid,
  WRITE_KILL_SUIDGID,
  XATTR_CREATE,
  XATTR_REPLACE,
} from './protocol.js';
import { ReplyWriter } from './reply-writer.js';
import type { RequestReader } from './request-reader.js';

export interface Reply {
  /** Fills in the body; absent: an empty one. */
  readonly write?: (writer: ReplyWriter) => void;
  /** Bytes behind the body, sent in the same write. */
  readonly data?: readonly Uint8Array[];
  /** Undoes what the reply would have told the kernel (lookup counts, handles), when it could not be delivered. */
  readonly abandon?: () => void;
}

const EMPTY: Reply = {};

export function answerRequest(fs: FileSystem, request: RequestReader): Awaitable<Reply> {
  const { node } = request;
  switch (request.opcode) {
    case Opcode.LOOKUP:
      return map(fs.lookup(node, request.name()), (entry) => entryReply(fs, entry));
    case Opcode.GETATTR: {
      const flags = request.u32();
      request.u32();
      const handle = request.u64();
      return map(fs.getattr(node, flags & GETATTR_FH ? handle : undefined), attributesReply);
    }
    case Opcode.SETATTR:
      return setattr(fs, request);
    case Opcode.READLINK:
      return map(fs.readlink(node), (target) => ({ data: [target] }));
    case Opcode.SYMLINK: {
      const name = request.name();
      return map(fs.symlink(node, name, request.name(), caller(request)), (entry) => entryReply(fs, entry));
    }
    case Opcode.MKNOD: {
      const mode = request.u32();
      const rdev = request.u32();
      request.skip(8);
      return map(fs.mknod(node, request.name(), mode, rdev, caller(request)), (entry) => entryReply(fs, entry));
    }
    case Opcode.MKDIR: {
      const mode = request.u32();
      request.skip(4);
      return map(fs.mkdir(node, request.name(), mode, caller(request)), (entry) => entryReply(fs, entry));
    }
    case Opcode.UNLINK:
      return map(fs.unlink(node, request.name()), empty);
    case Opcode.RMDIR:
      return map(fs.rmdir(node, request.name()), empty);
    case Opcode.RENAME:
    case Opcode.RENAME2:
      return rename(fs, request);
    case Opcode.LINK: {
      const existing = request.u64();
      return map(fs.link(existing, node, request.name()), (entry) => entryReply(fs, entry));
    }
    case Opcode.OPEN: {
      const flags = request.u32();
      const kill = (request.u32() & OPEN_KILL_SUIDGID) !== 0;
      return map(fs.open(node, flags, kill), (open) => ({
        write: (writer: ReplyWriter) => writeOpen(writer, open),
        abandon: () => void fs.release(node, open.handle),
      }));
    }
    case Opcode.CREATE: {
      const flags = request.u32();
      const mode = request.u32();
      request.skip(8);
      return map(fs.create(node, request.name(), mode, flags, caller(request)), ({ entry, open }) => ({
        write: (writer: ReplyWriter) => {
          writer.entry(entry);
          writeOpen(writer, open);
        },
        abandon: () => {
          void fs.release(entry.node, open.handle);
          fs.forget(entry.node, 1);
        },
      }));
    }
    case Opcode.READ: {
      const handle = request.u64();
      const offset = request.u64();
      return map(fs.read(node, handle, offset, request.u32()), (data) => ({ data }));
    }
    case Opcode.WRITE: {
      const handle = request.u64();
      const offset = request.u64();
      const size = request.u32();
      const flags = request.u32();
      request.skip(16);
      return map(fs.write(node, handle, offset, request.payload(size), (flags & WRITE_KILL_SUIDGID) !== 0), writtenReply);
    }
    case Opcode.FLUSH:
      return map(fs.flush(node, request.u64()), empty);
    case Opcode.RELEASE:
      return map(fs.release(node, request.u64()), empty);
    case Opcode.FSYNC:
      return map(fs.fsync(node, request.u64()), empty);
    case Opcode.FALLOCATE: {
      const handle = request.u64();
      const offset = request.u64();
      const length = request.u64();
      return map(fs.fallocate(node, handle, request.u32(), offset, length), empty);
    }
    case Opcode.LSEEK: {
      const handle = request.u64();
      const offset = request.u64();
      const whence = request.u32();
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new SystemError(ERRNO.EINVAL);
      return map(fs.seek(node, handle, offset, whence === SEEK_DATA ? 'data' : 'hole'), (at) => ({
        write: (writer: ReplyWriter) => writer.u64(at),
      }));
    }
    case Opcode.OPENDIR:
      return map(fs.opendir(node), (handle) => ({
        write: (writer: ReplyWriter) => writeHandle(writer, handle, OpenFlag.CACHE_DIR | OpenFlag.KEEP_CACHE),
        abandon: () => fs.releasedir(node, handle),
      }));
    case Opcode.READDIR:
    case Opcode.READDIRPLUS:
      return readdir(fs, request);
    case Opcode.RELEASEDIR:
      return map(fs.releasedir(node, request.u64()), empty);
    case Opcode.FSYNCDIR:
      return map(fs.fsyncdir(node), empty);
    case Opcode.STATFS:
      return map(fs.statfs(), (statistics) => ({ write: (writer: ReplyWriter) => writer.statistics(statistics) }));
    case Opcode.SYNCFS:
      return map(fs.syncfs(), empty);
    case Opcode.GETXATTR: {
      const room = request.u32();
      request.u32();
      return map(fs.getxattr(node, request.name()), (value) => sizedReply(room, value));
    }
    case Opcode.LISTXATTR: {
      const room = request.u32();
      return map(fs.listxattr(node), (names) => sizedReply(room, joinNames(names)));
    }
    case Opcode.SETXATTR: {
      const size = request.u32();
      const flags = request.u32();
      request.skip(8);
      const name = request.name();
      const mode = flags & XATTR_CREATE ? 'create' : flags & XATTR_REPLACE ? 'replace' : 'set';
      return map(fs.setxattr(node, name, request.payload(size).slice(), mode), empty);
    }
    case Opcode.REMOVEXATTR:
      return map(fs.removexattr(node, request.name()), empty);
    default:
      // The kernel remembers ENOSYS and does not ask again.
      throw new SystemError(ERRNO.ENOSYS);
  }
}

/** Applies `next` at once where it can: an answer from memory takes no turn of the event loop. */
function map<T>(value: Awaitable<T>, next: (value: T) => Reply): Awaitable<Reply> {
  return value instanceof Promise ? value.then(next) : next(value);
}

function empty(): Reply {
  return EMPTY;
}

function caller(request: RequestReader): Caller {
  return { uid: request.uid, gid: request.gid, pid: request.pid };
}

function entryReply(fs: FileSystem, entry: Entry): Reply {
  return { write: (writer) => writer.entry(entry), abandon: () => entry.node !== 0 && fs.forget(entry.node, 1) };
}

function attributesReply(reply: AttributesReply): Reply {
  return { write: (writer) => writer.attributesReply(reply) };
}

/** fuse_write_out: size u32, padding u32. */
function writtenReply(size: number): Reply {
  return {
    write: (writer) => {
      writer.u32(size);
      writer.u32(0);
    },
  };
}

function writeOpen(writer: ReplyWriter, open: OpenReply): void {
  const flags =
    (open.keepCache ? OpenFlag.KEEP_CACHE : 0) | (open.directIo ? OpenFlag.DIRECT_IO : 0) | (open.noFlush ? OpenFlag.NOFLUSH : 0);
  writeHandle(writer, open.handle, flags);
}

/** fuse_open_out: fh u64, open_flags u32, padding u32. */
function writeHandle(writer: ReplyWriter, handle: number, flags: number): void {
  writer.u64(handle);
  writer.u32(flags);
  writer.u32(0);
}

/** fuse_setattr_in, 88 bytes: valid u32, padding, fh, size, lock_owner, atime, mtime, ctime u64; their nanoseconds, mode, unused, uid, gid u32. */
function setattr(fs: FileSystem, request: RequestReader): Awaitable<Reply> {
  const { node } = request;
  const valid = request.u32();
  request.u32();
  const handle = request.u64();
  const size = request.u64();
  request.skip(8);
  const atimeSec = request.i64();
  const mtimeSec = request.i64();
  request.skip(8);
  const atime: Timespec = { sec: atimeSec, nsec: request.u32() };
  const mtime: Timespec = { sec: mtimeSec, nsec: request.u32() };
  request.skip(4);
  const mode = request.u32();
  request.skip(4);
  const uid = request.u32();
  const gid = request.u32();
  const change: AttributeChange = {
    ...(valid & SetattrValid.MODE ? { mode: mode & 0o7777 } : {}),
    ...(valid & SetattrValid.UID ? { uid } : {}),
    ...(valid & SetattrValid.GID ? { gid } : {}),
    ...(valid & SetattrValid.SIZE ? { size } : {}),
    ...(valid & SetattrValid.ATIME ? { atime: valid & SetattrValid.ATIME_NOW ? 'now' : atime } : {}),
    ...(valid & SetattrValid.MTIME ? { mtime: valid & SetattrValid.MTIME_NOW ? 'now' : mtime } : {}),
    ...(valid & SetattrValid.KILL_SUIDGID ? { killPrivileges: true } : {}),
  };
  return map(fs.setattr(node, change, valid & SetattrValid.FH ? handle : undefined), attributesReply);
}

function rename(fs: FileSystem, request: RequestReader): Awaitable<Reply> {
  const { node, opcode } = request;
  const target = request.u64();
  let flags = 0;
  if (opcode === Opcode.RENAME2) {
    flags = request.u32();
    request.u32();
  }
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) throw new SystemError(ERRNO.EINVAL);
  const mode = flags === RENAME_NOREPLACE ? 'no-replace' : flags === RENAME_EXCHANGE ? 'exchange' : 'replace';
  const name = request.name();
  return map(fs.rename(node, name, target, request.name(), mode), empty);
}

/** fuse_read_in: fh u64, offset u64, size u32, … Entries are laid out as they come and sent as they are. */
function readdir(fs: FileSystem, request: RequestReader): Awaitable<Reply> {
  const { node } = request;
  const isPlus = request.opcode === Opcode.READDIRPLUS;
  const handle = request.u64();
  const cookie = request.u64();
  const limit = Math.min(request.u32(), MAX_WRITE_BYTES);
  const counted: number[] = [];
  // Replies to other requests may be written before this one is full: it gets a buffer of its own.
  const writer = new ReplyWriter(limit + OUT_HEADER_BYTES);
  writer.begin(0);
  const sink: EntrySink = {
    add(name, ino, typeBits, next, entry) {
      if (!writer.directoryEntry(name, ino, typeBits, next, limit, isPlus ? (entry ?? NO_ENTRY) : undefined)) return false;
      if (entry !== undefined && entry.node !== 0) counted.push(entry.node);
      return true;
    },
  };
  return map(fs.readdir(node, handle, cookie, isPlus, sink), () => ({
    data: [writer.finish().subarray(OUT_HEADER_BYTES)],
    abandon: () => {
      for (const child of counted) fs.forget(child, 1);
    },
  }));
}

/** With a node of 0 the kernel lists the name and looks nothing up (`.` and `..`). */
const NO_ENTRY: Entry = { node: 0, attributes: undefined, timeoutMs: 0 };

/** For a room of 0 the size alone (fuse_getxattr_out); ERANGE when the room is too small. */
function sizedReply(room: number, value: Uint8Array): Reply {
  if (room === 0) return writtenReply(value.length);
  if (value.length > room) throw new SystemError(ERRNO.ERANGE);
  return { data: [value] };
}

function joinNames(names: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, 0));
  let at = 0;
  for (const name of names) {
    joined.set(name, at);
    at += name.length + 1;
  }
  return joined;
}
