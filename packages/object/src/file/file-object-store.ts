/**
 * Objects as files of one directory: the embedded default.
 *
 * Layout: `format` (this layout's number), `data/<key>` (objects), `tmp/` (puts under way). A put writes a file in
 * `tmp`, flushes it, links it to its final name (link(2) fails when the name is taken: one winner), and flushes the
 * directory and every new parent before it resolves. So a name under `data` always shows whole, flushed bytes; a
 * crash leaves at most a file in `tmp`, which the next opening removes. Several processes may use one directory.
 */
import { close, constants, fdatasync, fstat, link, open, read, rmdir, stat, unlink, write } from 'node:fs';
import { access, mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { NokvError, systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { throwIfAborted } from '../cancellation.js';
import { LIST_KEYS_MAX, checkKey, checkListLimit, checkPrefix, checkRange, noObject, shortObject } from '../object-key.js';
import type {
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
import { isErrno, translateFileError } from './file-errors.js';
import { listFiles } from './list-files.js';
import { ownTag, sweepLeftovers } from './leftovers.js';

const openFile = promisify(open);
const closeFile = promisify(close);
const flushFile = promisify(fdatasync);
const linkFile = promisify(link);
const unlinkFile = promisify(unlink);
const removeDirectory = promisify(rmdir);
const statFile = promisify(stat);
const statOpenFile = promisify(fstat);

export const FILE_STORE_FORMAT = 1;
const FORMAT_LINE = /^nokv file store (\d+)\n$/;

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

async function prepareLayout(root: string, create: boolean, random: Random): Promise<{ data: string; tmp: string }> {
  const formatPath = join(root, 'format');
  const data = join(root, 'data');
  const tmp = join(root, 'tmp');
  const found = await readFile(formatPath, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (found !== undefined) {
    const number = FORMAT_LINE.exec(found)?.[1];
    if (number === String(FILE_STORE_FORMAT)) return { data, tmp };
    throw new NokvError(
      'unsupported-format',
      `${formatPath}: expected file store format ${FILE_STORE_FORMAT}, found ${number ?? JSON.stringify(found.slice(0, 40))}; use the build that made it or another directory`,
    );
  }
  if (!create)
    throw new NokvError(
      'no-bucket',
      `no file store in ${root}: expected a file named format there; give the directory of an existing store`,
    );
  for (const path of [root, data, tmp]) await makeDirectory(path);
  const directories = new DirectorySync(dirname(root));
  await directories.sync(dirname(root));
  const draft = join(tmp, `format-${Buffer.from(random.bytes(8)).toString('hex')}`);
  await writeNewFile(draft, Buffer.from(`nokv file store ${FILE_STORE_FORMAT}\n`));
  await linkFile(draft, formatPath).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error;
  });
  await unlinkFile(draft);
  await directories.sync(root);
  return { data, tmp };
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    // Node's recursive mkdir hides why it failed (EROFS becomes ENOENT): it is asked only for missing parents.
    if (isErrno(error, 'ENOENT')) await mkdir(path, { recursive: true });
    else if (!isErrno(error, 'EEXIST')) throw error;
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
      await this.#directories.make(dirname(path));
      await this.#directories.sync(dirname(path));
      return outcome;
    } catch (error) {
      throw translateFileError(error, `write ${key}`, linked ? 'unknown' : 'not-applied');
    } finally {
      await unlinkFile(draft).catch(() => undefined); // The next opening removes what stays.
    }
  }

  async #link(draft: string, path: string): Promise<PutOutcome> {
    // A removal may take the directory away between make and link; it cannot win for ever.
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
      await this.#directories.make(dirname(path)).catch((error: unknown) => {
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

  async delete(keys: readonly string[], options: StoreCallOptions = {}): Promise<void> {
    if (keys.length > LIST_KEYS_MAX)
      throw new NokvError('invalid-argument', `expected at most ${LIST_KEYS_MAX} keys to delete, found ${keys.length}`);
    const paths = keys.map((key) => this.#path(key));
    throwIfAborted(options.signal);
    try {
      const touched = new Set<string>();
      for (const path of paths) {
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

async function writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
  const fd = await openFile(path, 'wx');
  try {
    await writeFully(fd, bytes);
    await flushFile(fd);
  } finally {
    await closeFile(fd);
  }
}

/** fs.write and fs.read may move fewer bytes than asked. */
async function writeFully(fd: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await new Promise<number>((resolved, rejected) => {
      write(fd, bytes, done, bytes.length - done, done, (error, count) => (error === null ? resolved(count) : rejected(error)));
    });
  }
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const count = await new Promise<number>((resolved, rejected) => {
      read(fd, into, done, into.length - done, position + done, (error, got) => (error === null ? resolved(got) : rejected(error)));
    });
    if (count === 0) break;
    done += count;
  }
  return done;
}
