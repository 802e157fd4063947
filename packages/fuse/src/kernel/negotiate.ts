/** FUSE_INIT: agrees on version, sizes and features. */
import { ERRNO, SystemError } from '../session/errno.js';
import { InitFlag, MAX_WRITE_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR, PROTOCOL_MINOR_MIN } from './protocol.js';
import type { ReplyWriter } from './reply-writer.js';
import type { RequestReader } from './request-reader.js';

/**
 * Not asked for: WRITEBACK_CACHE, under which the kernel owns size and mtime and never learns what other clients did to them;
 * POSIX_LOCKS and FLOCK_LOCKS, so that the kernel keeps the locks of this machine itself.
 */
const WANTED_FLAGS =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.BIG_WRITES |
  InitFlag.DO_READDIRPLUS |
  InitFlag.READDIRPLUS_AUTO |
  InitFlag.ASYNC_DIO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.EXPLICIT_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT;

/** The core relies on these: without them the mount would be wrong, not slow. */
export const NEEDED_FLAGS = InitFlag.ATOMIC_O_TRUNC | InitFlag.BIG_WRITES | InitFlag.SETXATTR_EXT | InitFlag.HANDLE_KILLPRIV_V2;

const MAX_READAHEAD_BYTES = 1024 * 1024;
const MAX_BACKGROUND = 64;
const CONGESTION = 48;

/**
 * Writes the answer. False when the kernel speaks a newer major: it will ask again with ours.
 *
 * fuse_init_in: major u32, minor u32, max_readahead u32, flags u32, flags2 u32, unused. fuse_init_out: major u32, minor u32,
 * max_readahead u32, flags u32, max_background u16, congestion u16, max_write u32, time_gran u32, max_pages u16,
 * map_alignment u16, flags2 u32, 7 unused u32.
 */
export function negotiate(request: RequestReader, reply: ReplyWriter): boolean {
  const major = request.u32();
  const minor = request.u32();
  if (major < PROTOCOL_MAJOR || (major === PROTOCOL_MAJOR && minor < PROTOCOL_MINOR_MIN)) {
    throw new SystemError(ERRNO.EOPNOTSUPP, `expected FUSE 7.${PROTOCOL_MINOR_MIN} or newer, found ${major}.${minor}`);
  }
  const readahead = request.u32();
  const flags = request.u32() & WANTED_FLAGS;
  const agreedMinor = major > PROTOCOL_MAJOR ? PROTOCOL_MINOR : Math.min(minor, PROTOCOL_MINOR);
  if (major === PROTOCOL_MAJOR && (flags & NEEDED_FLAGS) !== NEEDED_FLAGS) {
    throw new SystemError(ERRNO.EOPNOTSUPP, `the kernel (FUSE 7.${minor}) lacks features that the mount needs`);
  }
  reply.u32(PROTOCOL_MAJOR);
  reply.u32(agreedMinor);
  reply.u32(Math.min(readahead, MAX_READAHEAD_BYTES));
  reply.u32(flags >>> 0);
  reply.u16(MAX_BACKGROUND);
  reply.u16(CONGESTION);
  reply.u32(MAX_WRITE_BYTES);
  reply.u32(1);
  reply.u16(MAX_WRITE_BYTES / 4096);
  reply.u16(0);
  reply.u32(0);
  reply.zeros(28);
  return major === PROTOCOL_MAJOR;
}
