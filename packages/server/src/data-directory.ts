/**
 * The data directory of a process:
 *
 *   format.json      {"format":"nokv-data","number":1,"namespace","home","node"}: written once, last when the directory is made
 *   lock-<pid>       who serves from it (directory-lock.ts)
 *   ticket-key.json  secret of upload tickets and read tokens, mode 0600
 *   store.json       {"format":1,"marker"}: the object store that this namespace claimed
 *   meta/            LMDB environment of shard 0
 *   objects/         the file store, where no other is configured
 *
 * A directory that holds anything else, or another format number, is refused before anything is written to it.
 */
import { mkdir, open, readFile, readdir, realpath, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { NokvError, isNokvError, type Random } from '@nokv/types';
import { lockDirectory, type DirectoryLock } from './directory-lock.js';

const FORMAT_NAME = 'nokv-data';
const FORMAT_NUMBER = 1;
const FORMAT_FILE = 'format.json';
const TICKET_KEY_FILE = 'ticket-key.json';
const STORE_FILE = 'store.json';
/** What an interrupted first start may leave behind. */
const LEFTOVER = /^(lock-\d+|.*\.new)$/;

export interface DataDirectory {
  /** Absolute, links resolved. */
  readonly path: string;
  /** Names the namespace: the object store's marker carries it too. */
  readonly namespace: string;
  /** Names this copy of the shard's data towards the coordinator. */
  readonly home: string;
  /** The node's name where none is configured. */
  readonly node: string;
  readonly ticketKey: Uint8Array;
  readonly metaDirectory: string;
  readonly objectsDirectory: string;
  /** The marker of the object store that was claimed; undefined before. */
  readStoreClaim(): Promise<string | undefined>;
  noteStoreClaim(marker: string): Promise<void>;
  /** Gives the lock up. */
  close(): Promise<void>;
}

interface Format {
  readonly namespace: string;
  readonly home: string;
  readonly node: string;
}

/**
 * Makes or opens it and takes its lock. Errors: `directory-in-use`, `unsupported-format`, `permission-denied`, `no-space`.
 *
 * @param namespace of a directory that is made; default: a new one.
 */
export async function openDataDirectory(path: string, random: Random, namespace?: string): Promise<DataDirectory> {
  let resolved: string;
  try {
    await mkdir(path, { recursive: true });
    resolved = await realpath(path);
  } catch (error) {
    throw translate(error, path);
  }
  await readFormat(resolved);
  const lock = await lockDirectory(resolved, random).catch((error: unknown) => {
    throw translate(error, resolved);
  });
  try {
    const format = (await readFormat(resolved)) ?? (await writeFormat(resolved, random, namespace));
    return await describe(resolved, format, lock, random);
  } catch (error) {
    await lock.release();
    throw translate(error, resolved);
  }
}

async function describe(path: string, format: Format, lock: DirectoryLock, random: Random): Promise<DataDirectory> {
  const metaDirectory = join(path, 'meta');
  const objectsDirectory = join(path, 'objects');
  await mkdir(metaDirectory, { recursive: true });
  const ticketKey = (await readTicketKey(path)) ?? (await writeTicketKey(path, random));
  return {
    path,
    ...format,
    ticketKey,
    metaDirectory,
    objectsDirectory,
    readStoreClaim: () => readStoreClaim(path),
    noteStoreClaim: (marker) => writeDurably(path, STORE_FILE, JSON.stringify({ format: 1, marker }), 0o644),
    close: () => lock.release(),
  };
}

/** Undefined for an empty directory, which may become one of ours. */
async function readFormat(path: string): Promise<Format | undefined> {
  const text = await readIfThere(join(path, FORMAT_FILE));
  if (text === undefined) {
    const strangers = (await readdir(path).catch((error: unknown) => Promise.reject(translate(error, path)))).filter(
      (name) => !LEFTOVER.test(name),
    );
    if (strangers.length === 0) return undefined;
    throw new NokvError(
      'unsupported-format',
      `expected an empty directory or a nokv data directory at ${path}, found one without ${FORMAT_FILE} that holds ${strangers.length} entries (${strangers[0]}); give another --data`,
    );
  }
  const value = parseObject(text);
  if (value?.['format'] !== FORMAT_NAME) {
    throw new NokvError(
      'unsupported-format',
      `expected ${join(path, FORMAT_FILE)} to say "${FORMAT_NAME}", found something else; give another --data`,
    );
  }
  if (value['number'] !== FORMAT_NUMBER) {
    throw new NokvError(
      'unsupported-format',
      `expected format ${FORMAT_NUMBER} of the data directory ${path}, found ${JSON.stringify(value['number'])}; use the version of nokv that wrote it`,
    );
  }
  const { namespace, home, node } = value;
  if (typeof namespace !== 'string' || typeof home !== 'string' || typeof node !== 'string') {
    throw new NokvError('corrupt', `${join(path, FORMAT_FILE)} lacks its ids; restore it from a backup`);
  }
  return { namespace, home, node };
}

async function writeFormat(path: string, random: Random, namespace: string | undefined): Promise<Format> {
  const id = (): string => Buffer.from(random.bytes(16)).toString('hex');
  const format = { namespace: namespace ?? id(), home: id(), node: `node-${id().slice(0, 8)}` };
  await writeDurably(path, FORMAT_FILE, JSON.stringify({ format: FORMAT_NAME, number: FORMAT_NUMBER, ...format }), 0o644);
  return format;
}

async function readTicketKey(path: string): Promise<Uint8Array | undefined> {
  const text = await readIfThere(join(path, TICKET_KEY_FILE));
  if (text === undefined) return undefined;
  const value = parseObject(text);
  if (value?.['format'] !== 1 || typeof value['key'] !== 'string' || !/^[0-9a-f]{64}$/.test(value['key'])) {
    throw new NokvError(
      'corrupt',
      `${join(path, TICKET_KEY_FILE)} does not hold a key; remove it, and uploads that are under way will begin anew`,
    );
  }
  return Buffer.from(value['key'], 'hex');
}

async function writeTicketKey(path: string, random: Random): Promise<Uint8Array> {
  const key = random.bytes(32);
  await writeDurably(path, TICKET_KEY_FILE, JSON.stringify({ format: 1, key: Buffer.from(key).toString('hex') }), 0o600);
  return key;
}

async function readStoreClaim(path: string): Promise<string | undefined> {
  const text = await readIfThere(join(path, STORE_FILE));
  if (text === undefined) return undefined;
  const value = parseObject(text);
  if (value?.['format'] !== 1 || typeof value['marker'] !== 'string') {
    throw new NokvError('corrupt', `${join(path, STORE_FILE)} does not name an object store; restore it from a backup`);
  }
  return value['marker'];
}

/** Beside, flushed, renamed into place, directory flushed: a crash leaves the old file or the new one. */
async function writeDurably(directory: string, name: string, text: string, mode: number): Promise<void> {
  const temporary = join(directory, `${name}.new`);
  const file = await open(temporary, 'w', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(directory, name));
  const parent = await open(directory, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw translate(error, path);
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function translate(error: unknown, path: string): unknown {
  if (isNokvError(error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new NokvError(
      'permission-denied',
      `cannot write to the data directory ${path} (${code}); change its owner or give another --data`,
      { cause: error },
    );
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new NokvError('bad-configuration', `expected a directory at ${path}, found something else; give another --data`, {
      cause: error,
    });
  }
  if (code === 'ENOSPC') {
    return new NokvError('no-space', `no room for the data directory ${path}; free some or give another --data`, { cause: error });
  }
  return error;
}
