/**
 * Builds one reply: fuse_out_header (len u32, error i32, unique u64), then the structure of the opcode.
 * One writer serves a session: a reply is begun, filled and sent without an await in between.
 */
import type { Attributes } from '@nokv/types';
import { INODE_TYPE_BITS } from '@nokv/types';
import type { AttributesReply, Entry, FileSystemStatistics } from '../session/file-system.js';
import { OUT_HEADER_BYTES } from './protocol.js';

/** Preferred size of I/O that stat(2) shows. */
const BLKSIZE = 128 * 1024;
const NAME_BYTES_MAX = 255;
const ENTRY_BYTES = 128;
const DIRENT_BYTES = 24;

export class ReplyWriter {
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytesMax: number) {
    this.buffer = new Uint8Array(bytesMax);
    this.#view = new DataView(this.buffer.buffer);
  }

  begin(unique: number): void {
    this.#at = 8;
    this.u64(unique);
  }

  /** The finished reply, lent until the next `begin`; `extraBytes` follow it in the same write. */
  finish(errno = 0, extraBytes = 0): Uint8Array {
    this.#view.setUint32(0, this.#at + extraBytes, true);
    this.#view.setInt32(4, -errno, true);
    return this.buffer.subarray(0, this.#at);
  }

  u16(value: number): void {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  u64(value: number): void {
    this.#view.setUint32(this.#at, value % 0x1_0000_0000, true);
    this.#view.setUint32(this.#at + 4, Math.floor(value / 0x1_0000_0000), true);
    this.#at += 8;
  }

  /** Seconds may lie before the epoch. */
  i64(value: number): void {
    if (value >= 0) return this.u64(value);
    this.#view.setBigInt64(this.#at, BigInt(value), true);
    this.#at += 8;
  }

  bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  zeros(count: number): void {
    this.buffer.fill(0, this.#at, this.#at + count);
    this.#at += count;
  }

  /** fuse_attr, 88 bytes. */
  attributes(attributes: Attributes): void {
    this.u64(attributes.ino);
    this.u64(attributes.size);
    this.u64(attributes.blocks);
    this.i64(attributes.atime.sec);
    this.i64(attributes.mtime.sec);
    this.i64(attributes.ctime.sec);
    this.u32(attributes.atime.nsec);
    this.u32(attributes.mtime.nsec);
    this.u32(attributes.ctime.nsec);
    this.u32(INODE_TYPE_BITS[attributes.type] | attributes.mode);
    this.u32(attributes.nlink);
    this.u32(attributes.uid);
    this.u32(attributes.gid);
    this.u32(attributes.rdev);
    this.u32(BLKSIZE);
    this.u32(0);
  }

  /** fuse_attr_out: validity u64 s + u32 ns, padding u32, fuse_attr. */
  attributesReply({ attributes, timeoutMs }: AttributesReply): void {
    this.u64(Math.floor(timeoutMs / 1000));
    this.u32((timeoutMs % 1000) * 1_000_000);
    this.u32(0);
    this.attributes(attributes);
  }

  /** fuse_entry_out, 128 bytes; inode numbers are never reused, so the generation is 0. */
  entry({ node, attributes, timeoutMs }: Entry): void {
    const seconds = Math.floor(timeoutMs / 1000);
    const nanoseconds = (timeoutMs % 1000) * 1_000_000;
    this.u64(node);
    this.u64(0);
    this.u64(seconds);
    this.u64(seconds);
    this.u32(nanoseconds);
    this.u32(nanoseconds);
    if (attributes === undefined) this.zeros(88);
    else this.attributes(attributes);
  }

  /** fuse_statfs_out, 80 bytes. */
  statistics({ blockBytes, blocks, blocksFree, inodes, inodesFree }: FileSystemStatistics): void {
    this.u64(blocks);
    this.u64(blocksFree);
    this.u64(blocksFree);
    this.u64(inodes);
    this.u64(inodesFree);
    this.u32(blockBytes);
    this.u32(NAME_BYTES_MAX);
    this.u32(blockBytes);
    this.zeros(28);
  }

  /**
   * fuse_dirent (ino u64, off u64, namelen u32, type u32, name, padding to 8), with fuse_entry_out before it when
   * `entry` is given. False, and nothing written, when it would pass `limit` bytes of payload.
   */
  directoryEntry(name: Uint8Array, ino: number, typeBits: number, cookie: number, limit: number, entry?: Entry): boolean {
    const head = DIRENT_BYTES + name.length + (entry === undefined ? 0 : ENTRY_BYTES);
    const padding = (8 - (head % 8)) % 8;
    if (this.#at - OUT_HEADER_BYTES + head + padding > limit) return false;
    if (entry !== undefined) this.entry(entry);
    this.u64(ino);
    this.u64(cookie);
    this.u32(name.length);
    this.u32(typeBits >> 12);
    this.bytes(name);
    this.zeros(padding);
    return true;
  }
}
