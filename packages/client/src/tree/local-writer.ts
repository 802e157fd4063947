/**
 * Makes local entries what they are in the namespace.
 *
 * A file, symlink or special file is made under a fresh name with O_EXCL beside its place and renamed over it when it is whole, so a
 * reader never sees half a file and no symlink in its place is followed. The directory that it goes into is one that the
 * caller made, or found to be no symlink.
 */
import { constants, type BigIntStats } from 'node:fs';
import { chmod, lchown, link, lstat, lutimes, mkdir, open, rename, rm, symlink, unlink, utimes } from 'node:fs/promises';
import type { Attributes, InodeType } from '@nokv/types';
import { INODE_TYPE_BITS, NokvError, compareBytes, formatName, timespecFromNs, timespecToMs } from '@nokv/types';
import type { BodyHandle } from '../body-handle.js';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import { keptXattr } from './kept-xattrs.js';
import { isSystemError, type LocalCalls } from './local-calls.js';
import { fetchResumed, writeBody } from './write-body.js';
import { childPath } from './local-tree.js';
import type { Xattr } from './tree-writer.js';

export const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;
const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface LocalWriterOptions {
  readonly context: ClientContext;
  readonly calls: LocalCalls | undefined;
  /** Give entries the owners that they have in the namespace. */
  readonly owners: boolean;
  /** A directory in the way of something else is removed with all below it. */
  readonly mayRemoveTrees: boolean;
}

export interface WriteCall {
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** What an entry shall be, beside its body. */
export interface LocalNode {
  readonly attributes: Attributes;
  readonly xattrs: readonly Xattr[];
}

export class LocalWriter {
  readonly #options: LocalWriterOptions;
  readonly notes = new Set<string>();

  constructor(options: LocalWriterOptions) {
    this.#options = options;
  }

  async file(directory: Buffer, path: Buffer, node: LocalNode, body: BodyHandle, call: WriteCall) {
    await onThisMachine(`write ${formatName(path)}`, async () => {
      await this.#beside(directory, path, async (temporary) => {
        const file = await open(temporary, CREATE_FLAGS, PRIVATE_FILE);
        try {
          await writeBody(file, body, 0, call);
        } finally {
          await file.close();
        }
        await this.attributes(temporary, node);
      });
    });
  }

  /** @param partial where what has been fetched stays until it is whole. */
  async resumedFile(partial: Buffer, path: Buffer, node: LocalNode, body: BodyHandle, call: WriteCall): Promise<void> {
    await onThisMachine(`write ${formatName(path)}`, async () => {
      await fetchResumed(partial, body, call);
      await this.attributes(partial, node);
      await rename(partial, path);
    });
  }

  async symlink(directory: Buffer, path: Buffer, node: LocalNode, target: Uint8Array): Promise<void> {
    await onThisMachine(`make the symlink ${formatName(path)}`, async () => {
      await this.#beside(directory, path, async (temporary) => {
        await symlink(Buffer.from(target), temporary);
        await this.attributes(temporary, node);
      });
    });
  }

  /** @returns false when such a node cannot be made here. */
  async special(directory: Buffer, path: Buffer, node: LocalNode): Promise<boolean> {
    const { calls } = this.#options;
    const { type, mode, rdev } = node.attributes;
    const isDevice = type === 'char' || type === 'block';
    if (calls === undefined || (isDevice && process.geteuid?.() !== 0)) return false;
    await onThisMachine(`make the ${type} ${formatName(path)}`, async () => {
      await this.#beside(directory, path, async (temporary) => {
        calls.makeNode(temporary, INODE_TYPE_BITS[type] | mode, isDevice ? rdev : 0);
        await this.attributes(temporary, node);
      });
    });
    return true;
  }

  /** Another name for a local file. */
  async link(directory: Buffer, path: Buffer, first: Buffer): Promise<void> {
    await onThisMachine(`link ${formatName(path)}`, async () => {
      await this.#beside(directory, path, async (temporary) => link(first, temporary));
    });
  }

  /**
   * A directory that can be written into; mode, owner and times come last, by {@link LocalWriter.attributes}.
   * @returns whether the mode of one that is there had to change for that.
   */
  async directory(path: Buffer, found: BigIntStats | undefined, whatIsInTheWay: 'refuse' | 'replace'): Promise<boolean> {
    return onThisMachine(`make the directory ${formatName(path)}`, async () => {
      if (found?.isDirectory() === true) {
        const mode = Number(found.mode & 0o7777n);
        if ((mode & PRIVATE_DIRECTORY) === PRIVATE_DIRECTORY) return false;
        await chmod(path, mode | PRIVATE_DIRECTORY);
        return true;
      }
      if (found !== undefined && whatIsInTheWay === 'refuse') {
        throw new NokvError('outside-root', `${formatName(path)} is in the way and no directory; remove it or choose another destination`);
      }
      if (found !== undefined) await unlink(path);
      await mkdir(path, { mode: PRIVATE_DIRECTORY });
      return false;
    });
  }

  /** Owner, mode, extended attributes and times, in the order in which none undoes another. */
  async attributes(path: Buffer, { attributes, xattrs }: LocalNode): Promise<void> {
    const { calls, owners } = this.#options;
    const { type, mode, uid, gid, atime, mtime } = attributes;
    if (owners) await lchown(path, uid, gid);
    if (type !== 'symlink') await chmod(path, mode);
    this.#setXattrs(path, xattrs);
    if (calls !== undefined) calls.setTimes(path, atime, mtime);
    else if (type === 'symlink') await lutimes(path, timespecToMs(atime) / 1000, timespecToMs(mtime) / 1000);
    else await utimes(path, timespecToMs(atime) / 1000, timespecToMs(mtime) / 1000);
  }

  /** Whether mode, owner, time or extended attributes are not what they shall be. */
  differs(path: Buffer, found: BigIntStats, { attributes, xattrs }: LocalNode): boolean {
    const { calls, owners } = this.#options;
    const { type, mode, uid, gid } = attributes;
    if (type !== 'symlink' && Number(found.mode & 0o7777n) !== mode) return true;
    if (owners && (Number(found.uid) !== uid || Number(found.gid) !== gid)) return true;
    if (!this.isSameTime(found, attributes)) return true;
    if (calls === undefined) return false;
    const names = calls.listXattrs(path).filter(keptXattr);
    if (names.length !== xattrs.length) return true;
    return xattrs.some(
      ({ name, value }) => !names.some((one) => one.equals(name)) || compareBytes(calls.getXattr(path, name), value) !== 0,
    );
  }

  /** To the nanosecond where times can be set to it. */
  isSameTime(found: BigIntStats, { mtime }: Pick<Attributes, 'mtime'>): boolean {
    const local = timespecFromNs(found.mtimeNs);
    if (this.#options.calls !== undefined) return local.sec === mtime.sec && local.nsec === mtime.nsec;
    return Math.abs(timespecToMs(local) - timespecToMs(mtime)) < 0.002;
  }

  #setXattrs(path: Buffer, xattrs: readonly Xattr[]): void {
    const { calls } = this.#options;
    if (calls === undefined) {
      if (xattrs.length > 0) this.notes.add('extended attributes are not set: the optional package koffi is not there');
      return;
    }
    try {
      for (const name of calls.listXattrs(path).filter(keptXattr)) {
        if (!xattrs.some((one) => compareBytes(one.name, name) === 0)) calls.removeXattr(path, name);
      }
      for (const { name, value } of xattrs) calls.setXattr(path, name, value);
    } catch (error) {
      if (!isSystemError(error, 'ENOTSUP') && !isSystemError(error, 'EOPNOTSUPP')) throw error;
      this.notes.add('extended attributes are not set: the local file system keeps none of them');
    }
  }

  /** Makes something under a fresh name and moves it over its place; whatever fails leaves the place as it was. */
  async #beside(directory: Buffer, path: Buffer, make: (temporary: Buffer) => Promise<unknown>): Promise<void> {
    const temporary = temporaryPath(this.#options.context, directory);
    try {
      await make(temporary);
      if (this.#options.mayRemoveTrees && (await lstat(path).catch(() => undefined))?.isDirectory() === true) {
        await rm(path, { recursive: true });
      }
      await rename(temporary, path);
      // Renamed over another name of the same file it stays, by the rules of rename(2).
      await unlink(temporary).catch(() => undefined);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }
}

export function isLocalType(found: BigIntStats, type: InodeType): boolean {
  switch (type) {
    case 'file':
      return found.isFile();
    case 'directory':
      return found.isDirectory();
    case 'symlink':
      return found.isSymbolicLink();
    case 'fifo':
      return found.isFIFO();
    case 'socket':
      return found.isSocket();
    case 'char':
      return found.isCharacterDevice();
    case 'block':
      return found.isBlockDevice();
  }
}

export function temporaryPath(context: ClientContext, directory: Buffer): Buffer {
  return childPath(directory, Buffer.from(`.nokv-${Buffer.from(context.random.bytes(8)).toString('hex')}`));
}

export async function onThisMachine<Result>(doing: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    throw localError(error, doing);
  }
}
