/**
 * What must stay in a cache directory: for each pinned path a file with the names of its entries.
 *
 * A file holds one line of JSON (`format`, whose namespace, path, counts), one name a line, and `end <crc32c of all before>`; it is written
 * beside its place and renamed. A file that is damaged pins nothing, which costs the caching and no bytes. Every process looks at the
 * directory before it evicts, so a pin that is written before its entries protects them from the first one on.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, formatCrc32c } from '../block-checksum.js';
import { isErrno } from '../file/file-errors.js';
import { entryDiskBytes, parseEntryName } from './cache-entry.js';

export interface CachePin {
  /** Names the namespace that the path belongs to. */
  readonly namespace: string;
  /** As text. */
  readonly path: string;
  readonly files: number;
  /** Of the bodies, as they are shown. */
  readonly bytes: number;
  readonly pinnedAtMs: number;
  readonly entries: readonly string[];
}

const FORMAT = 1;
const SUFFIX = '.pin';
/** Paths that may be pinned in one directory. */
export const CACHE_PINS_MAX = 1000;

export class CachePins {
  readonly #directory: string;
  #known: { readonly signature: string; readonly pins: readonly CachePin[]; readonly names: ReadonlySet<string> } | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async list(): Promise<readonly CachePin[]> {
    return (await this.#look()).pins;
  }

  /** Names of all entries that some pin holds. */
  async names(): Promise<ReadonlySet<string>> {
    return (await this.#look()).names;
  }

  async find(namespace: string, path: string): Promise<CachePin | undefined> {
    return (await this.list()).find((pin) => pin.namespace === namespace && pin.path === path);
  }

  /** What the entries of all pins and of `more` take together, each counted once; the pin of `instead` is left out. */
  async bytesWith(more: readonly string[], instead: Pick<CachePin, 'namespace' | 'path'>): Promise<number> {
    const names = new Set(more);
    for (const pin of await this.list()) {
      if (pin.namespace === instead.namespace && pin.path === instead.path) continue;
      for (const name of pin.entries) names.add(name);
    }
    return diskBytesOf(names);
  }

  /** Adds a pin, or puts it in the place of that path's last one. */
  async set(pin: CachePin): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = this.#path(pin);
    const draft = `${path}.${randomBytes(4).toString('hex')}`;
    try {
      await writeFile(draft, encodePin(pin), { mode: 0o600, flag: 'wx' });
      await rename(draft, path);
    } catch (error) {
      await unlink(draft).catch(() => undefined);
      throw error;
    }
  }

  /** False when there was none. */
  async delete(pin: Pick<CachePin, 'namespace' | 'path'>): Promise<boolean> {
    try {
      await unlink(this.#path(pin));
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  async #look() {
    const files = await this.#files();
    const signature = files.map(({ name, mtimeMs, size }) => `${name}:${mtimeMs}:${size}`).join('\n');
    if (this.#known?.signature === signature) return this.#known;
    const pins: CachePin[] = [];
    for (const { name } of files) {
      const text = await readFile(join(this.#directory, name), 'utf8').catch(() => '');
      const pin = decodePin(text);
      if (pin !== undefined) pins.push(pin);
    }
    this.#known = { signature, pins, names: new Set(pins.flatMap(({ entries }) => entries)) };
    return this.#known;
  }

  async #files(): Promise<readonly { readonly name: string; readonly mtimeMs: number; readonly size: number }[]> {
    const found: { name: string; mtimeMs: number; size: number }[] = [];
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names.filter((each) => each.endsWith(SUFFIX)).sort()) {
      const info = await stat(join(this.#directory, name)).catch(() => undefined);
      if (info !== undefined) found.push({ name, mtimeMs: info.mtimeMs, size: info.size });
    }
    return found;
  }

  #path({ namespace, path }: Pick<CachePin, 'namespace' | 'path'>): string {
    const id = createHash('sha256')
      .update(JSON.stringify([namespace, path]))
      .digest('hex')
      .slice(0, 32);
    return join(this.#directory, `${id}${SUFFIX}`);
  }
}

/** What entries of these names take on the disk. */
export function diskBytesOf(names: Iterable<string>): number {
  let bytes = 0;
  for (const name of names) bytes += entryDiskBytes(parseEntryName(name)?.length ?? 0);
  return bytes;
}

export function encodePin({ entries, ...head }: CachePin): string {
  const text = `${[JSON.stringify({ format: FORMAT, ...head }), ...entries].join('\n')}\n`;
  return `${text}end ${formatCrc32c(crc32c(Buffer.from(text)))}\n`;
}

/** Undefined for whatever this version would not write. */
export function decodePin(text: string): CachePin | undefined {
  const match = /^([^]*\n)end ([0-9a-f]{8})\n$/.exec(text);
  const [, before = '', checksum] = match ?? [];
  if (match === null || formatCrc32c(crc32c(Buffer.from(before))) !== checksum) return undefined;
  const [first = '', ...entries] = before.slice(0, -1).split('\n');
  const head: unknown = JSON.parse(first);
  if (typeof head !== 'object' || head === null || !('format' in head) || head.format !== FORMAT) return undefined;
  // The checksum proves that it was written by `encodePin`.
  const { namespace, path, files, bytes, pinnedAtMs } = head as unknown as Omit<CachePin, 'entries'>;
  return { namespace, path, files, bytes, pinnedAtMs, entries };
}
