/**
 * A local file as a source of whole blocks, named by text or bytes.
 *
 * What is read is the file as it was when it was opened, or an error: where size or times are others at the end (`source-changed`), some
 * bytes may be older than others, and nothing is to be published of them. With `ifChanged: 'accept'` the body is what was read, of a file
 * that grows as much as there was at the beginning.
 */
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import type { ByteSource } from '@nokv/object';
import { NokvError, formatName } from '@nokv/types';
import { localError } from '../local-error.js';
import type { LocalFileSource } from '../put-source.js';

/** What tells one state of a file from another: a write moves the change time, which no program can set back. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly size: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

export interface LocalFile extends ByteSource {
  readonly sizeHint: number;
  readonly identity: FileIdentity;
}

export async function localFileSource({ file, ifChanged = 'refuse' }: LocalFileSource): Promise<LocalFile> {
  const path = typeof file === 'string' ? file : Buffer.from(file);
  const name = typeof file === 'string' ? file : formatName(file);
  const doing = `open ${name}`;
  // Opening a fifo would wait for a writer, and a device may do anything.
  checkKind(await stat(path, { bigint: true }).catch(failing(doing)), name);
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(failing(doing));
  try {
    const stats = await handle.stat({ bigint: true });
    checkKind(stats, name);
    return new OpenLocalFile(handle, name, identityOf(stats), ifChanged === 'accept');
  } catch (error) {
    await handle.close();
    throw localError(error, doing);
  }
}

class OpenLocalFile implements LocalFile {
  readonly identity: FileIdentity;
  readonly #handle: FileHandle;
  readonly #name: string;
  readonly #acceptsChanges: boolean;
  #position = 0;

  constructor(handle: FileHandle, name: string, identity: FileIdentity, acceptsChanges: boolean) {
    this.identity = identity;
    this.#handle = handle;
    this.#name = name;
    this.#acceptsChanges = acceptsChanges;
  }

  get sizeHint(): number {
    return this.identity.size;
  }

  async read(into: Uint8Array): Promise<number> {
    try {
      // Files of the kernel say that they are empty.
      const wanted = this.identity.size === 0 ? into.length : Math.min(into.length, this.identity.size - this.#position);
      let filled = 0;
      while (filled < wanted) {
        const { bytesRead } = await this.#handle.read(into, filled, wanted - filled, null);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      this.#position += filled;
      if (filled < into.length && !this.#acceptsChanges) await this.#refuseChanges();
      return filled;
    } catch (error) {
      throw localError(error, `read ${this.#name}`);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** At the end of the body: before it, a write may still come. */
  async #refuseChanges(): Promise<void> {
    const now = identityOf(await this.#handle.stat({ bigint: true }));
    const before = this.identity;
    // Its name and links may change: that moves the change time, but not what it says.
    // Files of the kernel may hold less than they say, or more.
    if (now.size === before.size && now.mtimeNs === before.mtimeNs) return;
    const how =
      now.size > before.size ? 'grew' : now.size < before.size || this.#position < before.size ? 'became shorter' : 'was written to';
    throw new NokvError(
      'source-changed',
      `${this.#name} ${how} while it was read (${before.size} bytes, now ${now.size}); nothing was published: put it when it is at rest, ` +
        'or ask to accept changes',
      { details: { before: before.size, now: now.size } },
    );
  }
}

function failing(doing: string): (error: unknown) => never {
  return (error) => {
    throw localError(error, doing);
  };
}

function checkKind(stats: BigIntStats, name: string): void {
  if (stats.isFile()) return;
  if (stats.isDirectory())
    throw new NokvError('is-directory', `expected a file on this machine, ${name} is a directory; put it recursively`);
  throw new NokvError('not-regular-file', `expected a file on this machine, ${name} is a device, fifo or socket; put it as a stream`);
}

function identityOf(stats: BigIntStats): FileIdentity {
  return {
    device: String(stats.dev),
    inode: String(stats.ino),
    size: Number(stats.size),
    mtimeNs: String(stats.mtimeNs),
    ctimeNs: String(stats.ctimeNs),
  };
}
