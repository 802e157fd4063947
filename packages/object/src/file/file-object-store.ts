/**
 * Objects as files of one directory: the embedded default.
 *
 * A put writes a file in `tmp`, flushes it, links it to its final name under `data` (link(2) fails when the name is
 * taken: one winner), and flushes the directory and every new parent before it resolves. So a name under `data` always
 * shows whole, flushed bytes; a crash leaves at most a file in `tmp`, which the next opening removes. Several processes
 * may use one directory.
 */
import { close, constants, fstat, link, open, rmdir, stat, unlink } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { NokvError, systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { throwIfAborted } from '../cancellation.js';
import { LIST_KEYS_MAX, checkKey, checkListLimit, checkPrefix, checkRange, noObject, shortObject } from '../object-key.js';
import type {
  DeleteOptions,
  GetOptions,
  ListOptions,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoreCallOptions,
} from '../object-store.js';
import { DirectorySync } from './directory-sync.js';
import { readFully, writeNewFile } from './file-bytes.js';
import { isErrno, translateFileError } from './file-errors.js';
import { prepareLayout } from './file-layout.js';
import { listFiles } from './list-files.js';
import { ownTag, sweepLeftovers } from './leftovers.js';

const openFile = promisify(open);
const closeFile = promisify(close);
const linkFile = promisify(link);
const unlinkFile = promisify(unlink);
const removeDirectory = promisify(rmdir);
const statFile = promisify(stat);
const statOpenFile = promisify(fstat);

export interface FileStoreOptions {
  /** Make the directory when it is missing (default true). */
  readonly create?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** @param directory a path or a `file:///` URL. */
export async function openFileStore(directory: string, options: FileStoreOptions = {}): Promise<ObjectStore> {
  const { create = true, clock = systemClock, random = systemRandom } = options;
  const root = directory.startsWith('file:') ? fileURLToPath(directory) : resolve(directory);
  try {
    const { data, tmp } = await prepareLayout(root, create, random);
    // Whoever may not write finds out now rather than at the first put.
    for (const path of [data, tmp]) await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    await sweepLeftovers(tmp, clock);
    const session = Buffer.from(random.bytes(4)).toString('hex');
    return new FileObjectStore(pathToFileURL(root).href, data, tmp, `${await ownTag()}-${session}`);
  } catch (error) {
    throw translateFileError(error, `open the file store ${root}`, 'not-applied');
  }
}

class FileObjectStore implements ObjectStore {
  readonly description: string;
  readonly #data: string;
  readonly #tmp: string;
  readonly #tag: string;
  readonly #directories: DirectorySync;
  #puts = 0;

  constructor(description: string, data: string, tmp: string, tag: string) {
    this.description = description;
    this.#data = data;
    this.#tmp = tmp;
    this.#tag = tag;
    this.#directories = new DirectorySync(data);
  }

  async putIfAbsent(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutOutcome> {
    const path = this.#path(key);
    throwIfAborted(options.signal);
    const draft = join(this.#tmp, `${this.#tag}-${this.#puts++}`);
    let linked = false;
    try {
      await writeNewFile(draft, bytes);
      throwIfAborted(options.signal);
      const outcome = await this.#link(draft, path);
      linked = true;
      // `exists` too: whoever made the object may not have flushed its name yet.
      const directory = dirname(path);
      await Promise.all([this.#directories.settle(directory), this.#directories.sync(directory)]);
      return outcome;
    } catch (error) {
      throw translateFileError(error, `write ${key}`, linked ? 'unknown' : 'not-applied');
    } finally {
      await unlinkFile(draft).catch(() => undefined); // The next opening removes what stays.
    }
  }

  async #link(draft: string, path: string): Promise<PutOutcome> {
    // A removal may take the directory away between create and link; it cannot win for ever.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await linkFile(draft, path);
        return 'created';
      } catch (error) {
        if (isErrno(error, 'EEXIST')) return this.#checkExists(path);
        if (isErrno(error, 'ENOTDIR')) throw nestedKey(path);
        if (!isErrno(error, 'ENOENT') || attempt >= 10) throw error;
      }
      this.#directories.forget(dirname(path));
      await this.#directories.create(dirname(path)).catch((error: unknown) => {
        if (isErrno(error, 'ENOTDIR')) throw nestedKey(path);
        if (!isErrno(error, 'ENOENT')) throw error;
      });
    }
  }

  async #checkExists(path: string): Promise<PutOutcome> {
    if ((await statFile(path)).isDirectory()) throw nestedKey(path);
    return 'exists';
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const { offset = 0, length, signal } = options;
    const path = this.#path(key);
    checkRange(offset, length);
    throwIfAborted(signal);
    try {
      const fd = await openFile(path, 'r');
      try {
        const wanted = length ?? (await this.#sizeFrom(fd, offset, key));
        const { into } = options;
        const bytes = into !== undefined && into.length >= wanted ? into.subarray(0, wanted) : Buffer.allocUnsafeSlow(wanted);
        const found = await readFully(fd, bytes, offset);
        if (found < wanted) throw shortObject(key, `at least ${offset + wanted}`, offset + found);
        return bytes;
      } finally {
        await closeFile(fd);
      }
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) throw noObject(key, this.description);
      throw translateFileError(error, `read ${key}`, 'not-applied');
    }
  }

  async #sizeFrom(fd: number, offset: number, key: string): Promise<number> {
    const { size } = await statOpenFile(fd);
    if (size < offset) throw shortObject(key, `at least ${offset}`, size);
    return size - offset;
  }

  async head(key: string, options: StoreCallOptions = {}): Promise<ObjectHead | undefined> {
    const path = this.#path(key);
    throwIfAborted(options.signal);
    try {
      const found = await statFile(path);
      return found.isFile() ? { size: found.size } : undefined;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw translateFileError(error, `look up ${key}`, 'not-applied');
    }
  }

  async list(prefix: string, options: ListOptions): Promise<ObjectPage> {
    checkPrefix(prefix);
    checkListLimit(options.limit);
    const objects: { key: string; size: number }[] = [];
    try {
      for await (const key of listFiles(this.#data, prefix, options.after)) {
        throwIfAborted(options.signal);
        const found = await this.head(key);
        if (found === undefined) continue; // Removed meanwhile.
        if (objects.length === options.limit) return { objects, more: true };
        objects.push({ key, size: found.size });
      }
      return { objects, more: false };
    } catch (error) {
      throw translateFileError(error, `list ${prefix}`, 'not-applied');
    }
  }

  async delete(keys: readonly string[], options: DeleteOptions = {}): Promise<void> {
    if (keys.length > LIST_KEYS_MAX)
      throw new NokvError('invalid-argument', `expected at most ${LIST_KEYS_MAX} keys to delete, found ${keys.length}`);
    const paths = keys.map((key) => this.#path(key));
    throwIfAborted(options.signal);
    try {
      const touched = new Set<string>();
      for (const path of paths) {
        options.mayGoOn?.();
        try {
          await unlinkFile(path);
          touched.add(dirname(path));
        } catch (error) {
          if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) throw error;
        }
      }
      for (const directory of touched) await this.#removeEmpty(directory);
    } catch (error) {
      throw translateFileError(error, `delete ${keys.length} objects`, 'unknown');
    }
  }

  /** Removes directories that became empty, and flushes the first that stays. */
  async #removeEmpty(from: string): Promise<void> {
    let directory = from;
    while (directory !== this.#data) {
      this.#directories.forget(directory);
      try {
        await removeDirectory(directory);
      } catch (error) {
        if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) break;
        if (!isErrno(error, 'ENOENT')) throw error;
      }
      directory = dirname(directory);
    }
    await this.#directories.sync(directory).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error; // Removed by another delete, which flushes its parent.
    });
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return join(this.#data, ...checkKey(key));
  }
}

function nestedKey(path: string): NokvError {
  return new NokvError('invalid-argument', `expected no key to be the directory of another, found ${path}`);
}
