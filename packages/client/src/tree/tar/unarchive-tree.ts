/**
 * Makes in a remote directory what a tar archive holds, entry by entry as they come: what is there already is written over.
 *
 * A name that is absolute or has a ".." is refused, and so is one that leads through a symlink: nothing is made outside the destination.
 * Small bodies are published side by side while the archive is read on, large ones stream; hard links and the modes and times of
 * directories come last.
 */
import { NokvError, checkName, formatName, isNokvError, type EntryRef, type InodeNumber, type NodeCard, type NodeRef } from '@nokv/types';
import { chunksOf } from '../../body/body-source.js';
import { stageBody, stageBytes } from '../../body/stage-body.js';
import type { ClientContext } from '../../client-context.js';
import type { StagedBody } from '../../nokv-client.js';
import { ProgressMeter } from '../../progress-meter.js';
import { transferSignal } from '../../transfer-signal.js';
import type { SyncReport, UnarchiveOptions } from '../../trees.js';
import { Failures } from '../failures.js';
import { GatheredMutations } from '../gathered-mutations.js';
import { keptXattr } from '../kept-xattrs.js';
import { PackedFiles } from '../packed-files.js';
import { pathFilter, type PathFilter } from '../path-filter.js';
import { keepsOwners, openDestination } from '../put-tree.js';
import { TaskPool } from '../task-pool.js';
import { LARGE_FILE_BYTES_MIN, TASKS_MAX, TASKS_PER_JOB, transferJobs } from '../transfer-jobs.js';
import { TreeWriter, type Place, type SourceNode } from '../tree-writer.js';
import type { TarEntry } from './tar-header.js';
import { readTar } from './tar-reader.js';

const DIRECTORY_MODE = 0o755;

export async function unarchiveTree(
  context: ClientContext,
  source: AsyncIterable<Uint8Array>,
  to: EntryRef & NodeRef,
  options: UnarchiveOptions,
): Promise<SyncReport> {
  const filter = pathFilter(options);
  const transfer = transferSignal(context.clock, options);
  try {
    const pool = new TaskPool(Math.min(transferJobs(options.jobs) * TASKS_PER_JOB, TASKS_MAX), transfer.signal);
    const packed = new PackedFiles({
      context,
      pool,
      access: await context.access({ signal: transfer.signal }),
      target: 'files of an archive',
    });
    const { inlineBytesMax } = await context.access({ signal: transfer.signal });
    const made = { mode: DIRECTORY_MODE, owner: options.owner ?? context.owner, parents: true };
    const top = await openDestination(context, to, made, transfer.signal);
    if (top.ino === undefined) throw new NokvError('internal', 'a destination was opened without an inode');
    const unarchive = new Unarchive({ context, options, pool, packed, filter, inlineBytesMax, top: top.ino });
    return await unarchive.run(source);
  } finally {
    transfer.stop();
  }
}

interface Unarchiving {
  readonly context: ClientContext;
  readonly options: UnarchiveOptions;
  readonly pool: TaskPool;
  readonly packed: PackedFiles;
  readonly filter: PathFilter | undefined;
  readonly inlineBytesMax: number;
  readonly top: InodeNumber;
}

class Unarchive {
  readonly #given: Unarchiving;
  readonly #writer: TreeWriter;
  readonly #failures = new Failures(true);
  readonly #meter: ProgressMeter;
  /** Directories that are known to be there, by their path below the top, as latin1. */
  readonly #directories = new Map<string, Promise<InodeNumber>>();
  readonly #finish = new Map<string, SourceNode>();
  readonly #links: { readonly names: readonly Uint8Array[]; readonly entry: TarEntry }[] = [];
  /** Entries under way: one that comes twice is written twice, in order. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #counts = { files: 0, directories: 0, symlinks: 0, links: 0, specials: 0, bytes: 0, unchanged: 0, attributes: 0, deleted: 0 };
  readonly #skipped: { path: string; reason: string }[] = [];

  constructor(given: Unarchiving) {
    const { context, options, pool, top } = given;
    this.#given = given;
    const gathered = new GatheredMutations(context, pool.signal);
    const chown = options.owner !== undefined || keepsOwners(context);
    this.#writer = new TreeWriter({ context, gathered, signal: pool.signal, producer: options.producer, mayRemoveTrees: false, chown });
    this.#meter = new ProgressMeter(options.onProgress, context.clock);
    this.#directories.set('', Promise.resolve(top));
  }

  async run(source: AsyncIterable<Uint8Array>): Promise<SyncReport> {
    const { pool, packed } = this.#given;
    this.#meter.phase('transfer');
    try {
      const chunks = chunksOf(source, pool.signal);
      for await (const { entry, body } of readTar(chunks, (path) => this.#skip(path, 'an entry of an unknown kind'))) {
        pool.throwIfFailed();
        await this.#entry(entry, body);
      }
      await packed.flush();
    } catch (error) {
      pool.fail(error);
    }
    await packed.close();
    await pool.drain();
    for (const { names, entry } of this.#links) await this.#failures.attempt(show(names), async () => this.#link(names, entry));
    for (const [key, node] of [...this.#finish].toReversed())
      await this.#failures.attempt(show(key), async () => this.#finishDirectory(key, node));
    this.#meter.phase('done');
    return { ...this.#counts, skipped: this.#skipped, failed: this.#failures.count, failures: this.#failures.list };
  }

  async #entry(entry: TarEntry, body: AsyncIterable<Uint8Array>): Promise<void> {
    const names = namesOf(entry.path);
    const path = show(names);
    if (names.length === 0 && entry.type !== 'directory') throw outside(entry.path, 'names the destination itself');
    if (names.length > 0 && this.#given.filter?.takes(path, entry.type === 'directory') === false) return;
    if (this.#isBelowExcluded(names)) return;
    const key = keyOf(names);
    if (entry.type === 'directory') {
      await this.#settled(key);
      await this.#failures.attempt(path, async () => this.#directory(names, this.#node(entry)));
      this.#meter.add(1, 0);
      return;
    }
    if (entry.type === 'link') {
      // Its target may still be on its way.
      this.#links.push({ names, entry: { ...entry, target: joined(namesOf(entry.target)) } });
      return;
    }
    await this.#settled(key);
    if (entry.type === 'file' && entry.size >= LARGE_FILE_BYTES_MIN) {
      const staged = await this.#failures.attempt(path, async () => this.#stageLarge(entry, body));
      if (staged === undefined) return;
      return this.#start(key, path, async () => this.#file(names, entry, staged));
    }
    if (entry.type !== 'file') return this.#start(key, path, async () => this.#other(names, entry));
    const bytes = await collected(body, entry.size);
    if (bytes.length <= this.#given.inlineBytesMax) return this.#start(key, path, async () => this.#file(names, entry, stageBytes(bytes)));
    const end = this.#begin(key);
    await this.#given.packed.add(bytes, async (staged) => {
      await this.#failures.attempt(path, async () => this.#file(names, entry, staged)).finally(end);
    });
  }

  async #start(key: string, path: string, task: () => Promise<void>): Promise<void> {
    const end = this.#begin(key);
    await this.#given.pool.add(async () => void (await this.#failures.attempt(path, task).finally(end)));
  }

  /** @returns what ends it. */
  #begin(key: string): () => void {
    let end: () => void = () => undefined;
    this.#busy.set(key, new Promise((resolve) => (end = resolve)));
    return () => {
      this.#busy.delete(key);
      end();
    };
  }

  /** Resolves when no entry of this path is under way; one that waits for its block to fill is sent on. */
  async #settled(key: string): Promise<void> {
    const busy = this.#busy.get(key);
    if (busy === undefined) return;
    await this.#given.packed.flush();
    await busy;
  }

  async #stageLarge(entry: TarEntry, body: AsyncIterable<Uint8Array>): Promise<StagedBody> {
    let seen = 0;
    const { context, pool } = this.#given;
    return await stageBody(context, body, {
      signal: pool.signal,
      target: formatName(entry.path),
      onProgress: ({ bytes }) => {
        this.#meter.add(0, bytes - seen);
        seen = bytes;
      },
    });
  }

  async #file(names: readonly Uint8Array[], entry: TarEntry, staged: StagedBody): Promise<void> {
    const place = await this.#place(names);
    await this.#overExisting(place, async (existing) => this.#writer.file(place, this.#node(entry), staged, existing));
    this.#counts.files += 1;
    this.#counts.bytes += staged.size;
    this.#meter.add(1, entry.size >= LARGE_FILE_BYTES_MIN ? 0 : entry.size);
  }

  async #other(names: readonly Uint8Array[], entry: TarEntry): Promise<void> {
    const place = await this.#place(names);
    const node = this.#node(entry);
    await this.#overExisting(place, async (existing) =>
      entry.type === 'symlink' ? this.#writer.symlink(place, node, entry.target, existing) : this.#writer.special(place, node, existing),
    );
    if (entry.type === 'symlink') this.#counts.symlinks += 1;
    else this.#counts.specials += 1;
    this.#meter.add(1, 0);
  }

  async #link(names: readonly Uint8Array[], entry: TarEntry): Promise<void> {
    const target = await this.#stat(await this.#place(namesOf(entry.target)));
    if (target === undefined)
      throw new NokvError('not-found', `a hard link to ${formatName(entry.target)}, which the archive does not hold before it`);
    const place = await this.#place(names);
    const existing = await this.#stat(place);
    if (existing?.ino !== target.ino) await this.#writer.link(place, target.ino, existing);
    this.#counts.links += 1;
    this.#meter.add(1, 0);
  }

  /** Made, or found; mode, owner and times come last. */
  async #directory(names: readonly Uint8Array[], node: SourceNode): Promise<void> {
    const key = keyOf(names);
    this.#finish.set(key, node);
    this.#counts.directories += 1;
    if (names.length === 0 || this.#directories.has(key)) return;
    const making = this.#makeDirectory(names, node, 'replace');
    this.#directories.set(key, making);
    await making;
  }

  async #makeDirectory(names: readonly Uint8Array[], node: SourceNode, inTheWay: 'replace' | 'refuse'): Promise<InodeNumber> {
    const place = await this.#place(names);
    const existing = await this.#stat(place);
    if (existing?.type === 'directory') return existing.ino;
    if (existing !== undefined && inTheWay === 'refuse') throw outside(joined(names), `leads through a ${existing.type}`);
    return this.#writer.directory(place, node, existing);
  }

  async #finishDirectory(key: string, node: SourceNode): Promise<void> {
    const ino = await this.#directories.get(key);
    if (ino === undefined) return;
    const { context, pool } = this.#given;
    const card = await context.metadata.read('stat', { node: { ino } }, { signal: pool.signal });
    await this.#writer.attributes(node, card);
    await this.#writer.xattrs(ino, node.xattrs, card.xattrs);
  }

  /** The directory of an entry, with those above it that no entry named, and its name. */
  async #place(names: readonly Uint8Array[]): Promise<Place> {
    const above = names.slice(0, -1);
    const name = names.at(-1);
    if (name === undefined) throw new NokvError('internal', 'the top of an archive has no place');
    const key = keyOf(above);
    let parent = this.#directories.get(key);
    if (parent === undefined) {
      const node = {
        type: 'directory',
        mode: DIRECTORY_MODE,
        owner: this.#owner(undefined),
        mtime: { sec: 0, nsec: 0 },
        rdev: 0,
        xattrs: undefined,
      } as const;
      parent = this.#makeDirectory(above, node, 'refuse');
      this.#directories.set(key, parent);
      parent.catch(() => this.#directories.delete(key));
    }
    return { parent: await parent, name };
  }

  /** As if nothing were there; when something is, again with what it is. */
  async #overExisting(place: Place, make: (existing: NodeCard | undefined) => Promise<unknown>): Promise<void> {
    try {
      await make(undefined);
    } catch (error) {
      if (!isNokvError(error, 'exists')) throw error;
      await make(await this.#stat(place));
    }
  }

  async #stat(place: Place): Promise<NodeCard | undefined> {
    const { context, pool } = this.#given;
    try {
      return await context.metadata.read('stat', { node: place, follow: false }, { signal: pool.signal });
    } catch (error) {
      if (isNokvError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  #isBelowExcluded(names: readonly Uint8Array[]): boolean {
    const { filter } = this.#given;
    return filter !== undefined && names.slice(0, -1).some((_, depth) => !filter.takes(show(names.slice(0, depth + 1)), true));
  }

  #node({ type, mode, owner, mtime, rdev, xattrs }: TarEntry): SourceNode {
    if (type === 'link') throw new NokvError('internal', 'a hard link has no attributes of its own');
    return { type, mode, owner: this.#owner(owner), mtime, rdev, xattrs: xattrs.filter(({ name }) => keptXattr(name)) };
  }

  /** Whoever acts for somebody else, or was told an owner, does not hand out files to others. */
  #owner(found: TarEntry['owner'] | undefined): TarEntry['owner'] {
    const { options, context } = this.#given;
    return options.owner ?? (found !== undefined && keepsOwners(context) ? found : context.owner);
  }

  #skip(path: string, reason: string): void {
    this.#skipped.push({ path, reason });
  }
}

/** The names of a path in an archive, none for its top. */
function namesOf(path: Uint8Array): Uint8Array[] {
  if (path[0] === 0x2f) throw outside(path, 'is absolute');
  const names: Uint8Array[] = [];
  for (let start = 0; start <= path.length;) {
    const slash = path.indexOf(0x2f, start);
    const name = path.subarray(start, slash < 0 ? path.length : slash);
    start = slash < 0 ? path.length + 1 : slash + 1;
    if (name.length === 0 || (name.length === 1 && name[0] === 0x2e)) continue;
    if (name.length === 2 && name[0] === 0x2e && name[1] === 0x2e) throw outside(path, 'has a ".."');
    checkName(name);
    names.push(Uint8Array.from(name));
  }
  return names;
}

function outside(path: Uint8Array, why: string): NokvError {
  return new NokvError(
    'outside-root',
    `the archive holds ${formatName(path)}, which ${why}: it may lead outside the destination and is refused`,
  );
}

function joined(names: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(names.flatMap((name, place) => (place === 0 ? [name] : [Buffer.from('/'), name])));
}

function keyOf(names: readonly Uint8Array[]): string {
  return Buffer.from(joined(names)).toString('latin1');
}

function show(path: readonly Uint8Array[] | string): string {
  return (typeof path === 'string' ? formatName(Buffer.from(path, 'latin1')) : formatName(joined(path))) || '.';
}

/** Copies: chunks are borrowed until the next one is asked for. */
async function collected(body: AsyncIterable<Uint8Array>, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  let filled = 0;
  for await (const chunk of body) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}
