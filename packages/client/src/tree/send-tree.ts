/**
 * Sends what lies below a local directory into a remote one: directories first, small bodies inline, medium ones packed
 * into shared blocks, large ones by themselves, many at once and many in a request; further names of a file at the end.
 *
 * Every operation is acknowledged as durable: a server that restarts in between loses none of them.
 */
import { readlink } from 'node:fs/promises';
import { NokvError, formatName, type Codec, type InodeNumber, type InodeType, type NodeCard, type Owner } from '@nokv/types';
import { stageBody, stageBytes } from '../body/stage-body.js';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import type { CallOptions } from '../metadata-client.js';
import type { StagedBody } from '../nokv-client.js';
import { ProgressMeter } from '../progress-meter.js';
import type { ProgressListener } from '../progress.js';
import type { SyncReport, TreeChange, TreeFilterOptions } from '../trees.js';
import { Failures } from './failures.js';
import { GatheredMutations } from './gathered-mutations.js';
import { digestOfFile } from './local-digest.js';
import { localCalls, type LocalCalls } from './local-calls.js';
import { relativePath, scanLocal, walkLocal, type LocalEntry } from './local-tree.js';
import { keptXattr } from './kept-xattrs.js';
import { PackedFiles } from './packed-files.js';
import { pathFilter, type PathFilter } from './path-filter.js';
import { readLocalFile } from './read-local-file.js';
import { RemoteDirectory } from './remote-directory.js';
import { TaskPool } from './task-pool.js';
import { LARGE_FILES_MAX, LARGE_FILE_BYTES_MIN, TASKS_MAX, TASKS_PER_JOB, transferJobs } from './transfer-jobs.js';
import { OWNER_WRITE, TreeWriter, type Place, type SourceNode, type Xattr } from './tree-writer.js';

/** Larger files get uploads of their own. */
const PACKED_FILE_BYTES_MAX = LARGE_FILE_BYTES_MIN - 1;
/** No time that is kept: something moved it. */
const MOVED = { sec: 0, nsec: -1 };

export interface SendOptions extends CallOptions, TreeFilterOptions {
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly producer?: string | undefined;
  readonly compress?: Codec | 'none' | undefined;
  /** Of everything that is made; undefined: the owners of the local entries. */
  readonly owner: Owner | undefined;
  /** Give what is there already its owner, too. */
  readonly chown: boolean;
  readonly specialFiles: 'refuse' | 'skip' | 'keep';
  /** `fresh`: nothing is at the destination; `overwrite`: what is there is written again; `update`: what is the same stays. */
  readonly existing: 'fresh' | 'overwrite' | 'update';
  readonly checksum?: boolean | undefined;
  readonly delete?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly collectsFailures?: boolean | undefined;
  readonly onChange?: ((change: TreeChange) => unknown) | undefined;
}

/** A body on its way, and the local file as it was when its bytes were read. */
interface StagedEntry {
  readonly staged: StagedBody;
  readonly source: LocalEntry;
}

interface LateLink {
  readonly entry: LocalEntry;
  readonly into: RemoteDirectory;
  readonly existing: NodeCard | undefined;
}

export class SendTree {
  readonly #context: ClientContext;
  readonly #options: SendOptions;
  readonly #pool: TaskPool;
  readonly #large: TaskPool;
  readonly #packed: PackedFiles;
  readonly #writer: TreeWriter;
  readonly #gathered: GatheredMutations;
  readonly #filter: PathFilter | undefined;
  readonly #failures: Failures;
  readonly #calls: LocalCalls | undefined;
  readonly #inlineBytesMax: number;
  readonly #directories = new Map<LocalEntry, Promise<RemoteDirectory | undefined>>();
  /** Files with several names, by device and inode; where their first name is now. */
  readonly #linked = new Map<string, Promise<InodeNumber | undefined>>();
  readonly #lateLinks: LateLink[] = [];
  readonly #superfluous: { readonly into: RemoteDirectory; readonly type: InodeType; readonly name: Uint8Array; readonly path: string }[] =
    [];
  readonly #counts = { files: 0, directories: 0, symlinks: 0, links: 0, specials: 0, bytes: 0, unchanged: 0, attributes: 0, deleted: 0 };
  readonly #skipped: { path: string; reason: string }[] = [];
  /** Bytes of entries under way that the meter knows of. */
  readonly #metered = new WeakMap<LocalEntry, number>();
  readonly meter: ProgressMeter;
  #root: LocalEntry | undefined;

  static async start(context: ClientContext, options: SendOptions, signal: AbortSignal): Promise<SendTree> {
    const filter = pathFilter(options);
    const jobs = transferJobs(options.jobs);
    const { inlineBytesMax, ...access } = await context.access({ signal });
    const pool = new TaskPool(Math.min(jobs * TASKS_PER_JOB, TASKS_MAX), signal);
    const packed = new PackedFiles({
      context,
      pool,
      access: { inlineBytesMax, ...access },
      target: 'packed files of a tree',
      compress: options.compress,
    });
    return new SendTree({ context, options, pool, packed, filter, inlineBytesMax, calls: await localCalls() });
  }

  private constructor(parts: {
    readonly context: ClientContext;
    readonly options: SendOptions;
    readonly pool: TaskPool;
    readonly packed: PackedFiles;
    readonly filter: PathFilter | undefined;
    readonly inlineBytesMax: number;
    readonly calls: LocalCalls | undefined;
  }) {
    const { context, options, pool } = parts;
    this.#context = context;
    this.#options = options;
    this.#pool = pool;
    this.#large = new TaskPool(LARGE_FILES_MAX, pool.signal);
    this.#packed = parts.packed;
    this.#filter = parts.filter;
    this.#inlineBytesMax = parts.inlineBytesMax;
    this.#calls = parts.calls;
    this.#failures = new Failures(options.collectsFailures === true);
    this.#gathered = new GatheredMutations(context, pool.signal);
    const { producer } = options;
    this.#writer = new TreeWriter({
      context,
      gathered: this.#gathered,
      signal: pool.signal,
      producer,
      mayRemoveTrees: options.delete === true,
      chown: options.chown,
    });
    this.meter = new ProgressMeter(options.onProgress, context.clock);
  }

  /** @param into the directory to send into: made for this, or found with its card; neither: it would be made, in a dry run. */
  async send(root: LocalEntry, into: { readonly ino?: InodeNumber; readonly card?: NodeCard | undefined }): Promise<void> {
    const { existing, specialFiles } = this.#options;
    this.#root = root;
    const signal = this.#pool.signal;
    this.meter.phase('scan');
    // Without anybody to tell, and nothing to refuse, there is no need to look twice.
    if (this.meter.isHeard || specialFiles === 'refuse') {
      const onError = this.#options.collectsFailures === true ? () => undefined : undefined;
      const totals = await scanLocal(root, { sizes: this.meter.isHeard, signal, filter: this.#filter, onError });
      if (totals.specials > 0 && specialFiles === 'refuse') throw specialFilesError(totals.special, totals.specials);
      this.meter.phase('transfer', { files: totals.entries, bytes: totals.bytes });
    }
    const top = new RemoteDirectory({ context: this.#context, signal, ...into });
    if (into.card === undefined || existing !== 'update') this.#counts.directories += 1;
    this.#directories.set(root, Promise.resolve(top));
    this.meter.add(1, 0);
    try {
      await this.#walk(root);
      await this.#packed.flush();
    } catch (error) {
      this.#pool.fail(error);
    }
    await this.#large.drain().catch((error: unknown) => this.#pool.fail(error));
    await this.#packed.close();
    await this.#pool.drain();
    await this.#inPool(this.#lateLinks, (late) => this.#attempt(late.entry, async () => this.#link(late)));
    if (this.#failures.count === 0) await this.#removeSuperfluous();
    await this.#inPool([...this.#directories], ([entry, remote]) =>
      this.#attempt(entry, async () => this.#finishDirectory(entry, await remote)),
    );
  }

  /** Tells what is left out. */
  skip(path: string, reason: string): void {
    this.#skipped.push({ path, reason });
  }

  report(): SyncReport {
    this.meter.phase('done');
    return { ...this.#counts, skipped: this.#skipped, failed: this.#failures.count, failures: this.#failures.list };
  }

  async #walk(root: LocalEntry): Promise<void> {
    const { signal } = this.#pool;
    const onError = (path: Buffer, error: unknown) => this.#failures.note(relativePath(root.path, path) || '.', error);
    for await (const { directory, entries } of walkLocal(root, { signal, filter: this.#filter, onError })) {
      this.#pool.throwIfFailed();
      const promised = this.#directories.get(directory);
      if (promised === undefined) throw new NokvError('internal', 'a directory was walked before it was made');
      if (this.#options.existing === 'fresh') {
        for (const entry of entries) await this.#start(entry, promised, undefined);
        continue;
      }
      const into = await promised;
      // Not made: told of already, and nothing below it can be.
      if (into === undefined) continue;
      const cards = await into.cards(entries.map(({ name }) => name));
      for (const entry of entries) await this.#start(entry, promised, cards.get(entry.name));
      if (this.#options.delete === true) await this.#noteSuperfluous(directory, into, entries);
    }
  }

  /** Resolves as soon as the entry is under way: the walk is held back only by full pools. */
  async #start(entry: LocalEntry, promised: Promise<RemoteDirectory | undefined>, existing: NodeCard | undefined): Promise<void> {
    const { specialFiles } = this.#options;
    if (entry.type === 'directory') {
      const made = withResolvers<RemoteDirectory>();
      this.#directories.set(entry, made.promise);
      return this.#pool.add(() => made.settle(this.#attempt(entry, async () => this.#directory(entry, await promised, existing))));
    }
    if (entry.type !== 'file' && entry.type !== 'symlink' && specialFiles !== 'keep') {
      if (specialFiles === 'refuse') throw specialFilesError([formatName(entry.path)], 1);
      this.#skipped.push({ path: formatName(entry.path), reason: 'neither a file, a directory nor a symlink' });
      this.meter.add(1, 0);
      return;
    }
    if (entry.nlink > 1) {
      const first = this.#linked.get(entry.identity);
      const into = first === undefined ? undefined : await promised;
      if (into !== undefined) {
        this.#lateLinks.push({ entry, into, existing });
        return;
      }
    }
    const sent = withResolvers<InodeNumber>();
    if (entry.nlink > 1) this.#linked.set(entry.identity, sent.promise);
    const path = await this.#wayOf(entry, existing);
    if (path === 'packed') return this.#pack(entry, promised, existing, sent);
    await (path === 'large' ? this.#large : this.#pool).add(async () => {
      await sent.settle(this.#attempt(entry, async () => this.#entry(entry, await promised, existing)));
      this.#meterEnd(entry);
    });
  }

  /** A file that the other end has alike needs no upload, so it waits in no queue for one. */
  async #wayOf(entry: LocalEntry, existing: NodeCard | undefined): Promise<'pool' | 'packed' | 'large'> {
    if (entry.type !== 'file' || entry.size <= this.#inlineBytesMax || this.#options.dryRun === true) return 'pool';
    const isLarge = entry.size > PACKED_FILE_BYTES_MAX;
    if (!this.#looksTheSame(entry, existing)) return isLarge ? 'large' : 'packed';
    if (this.#options.checksum !== true || existing === undefined) return 'pool';
    if (isLarge) return 'large';
    const isSame = await this.#attempt(entry, async () => this.#isSame(entry, existing, undefined));
    return isSame === false ? 'packed' : 'pool';
  }

  /** Read here, one after the other: what waits in memory for its block to fill is bounded by the packer. */
  async #pack(
    entry: LocalEntry,
    promised: Promise<RemoteDirectory | undefined>,
    existing: NodeCard | undefined,
    sent: Resolvers<InodeNumber | undefined>,
  ): Promise<void> {
    const read = await this.#attempt(entry, async () => (await readLocalFile(entry, PACKED_FILE_BYTES_MAX)) ?? 'grown');
    if (read === undefined) {
      await sent.settle(Promise.resolve(undefined));
      this.#meterEnd(entry);
    } else if (read === 'grown') {
      await this.#large.add(async () => {
        await sent.settle(this.#attempt(entry, async () => this.#publish(entry, await promised, existing, await this.#stage(entry))));
        this.#meterEnd(entry);
      });
    } else {
      await this.#packed.add(read.bytes, async (staged) => {
        const one = { staged, source: read.entry };
        await sent.settle(this.#attempt(entry, async () => this.#publish(entry, await promised, existing, one)));
        this.#meterEnd(entry);
      });
    }
  }

  async #directory(
    entry: LocalEntry,
    into: RemoteDirectory | undefined,
    existing: NodeCard | undefined,
  ): Promise<RemoteDirectory | undefined> {
    this.meter.add(1, 0);
    if (into === undefined) return undefined;
    const { dryRun } = this.#options;
    const signal = this.#pool.signal;
    if (existing?.type !== 'directory') {
      await this.#tell(existing === undefined ? 'create' : 'update', entry);
      this.#counts.directories += 1;
      into.changed();
    }
    if (dryRun === true && existing?.type !== 'directory') return new RemoteDirectory({ context: this.#context, signal });
    if (existing?.type === 'directory') return new RemoteDirectory({ context: this.#context, signal, ino: existing.ino, card: existing });
    const ino = await this.#writer.directory(into.place(entry.name), this.#node(entry), existing);
    return new RemoteDirectory({ context: this.#context, signal, ino });
  }

  /** A file, symlink or special file, from the beginning. @returns its inode. */
  async #entry(entry: LocalEntry, into: RemoteDirectory | undefined, existing: NodeCard | undefined): Promise<InodeNumber | undefined> {
    if (into === undefined) return undefined;
    const target = entry.type === 'symlink' ? await readTarget(entry) : undefined;
    if (existing !== undefined && (await this.#isSame(entry, existing, target))) return await this.#sameBody(entry, existing);
    if (this.#options.dryRun === true) {
      await this.#note(entry, into, existing, entry.size);
      return undefined;
    }
    if (entry.type === 'file') return this.#publish(entry, into, existing, await this.#stage(entry));
    const place = into.place(entry.name);
    const node = this.#node(entry);
    const ino =
      target === undefined ? await this.#writer.special(place, node, existing) : await this.#writer.symlink(place, node, target, existing);
    await this.#note(entry, into, existing, 0);
    return ino;
  }

  async #stage(entry: LocalEntry): Promise<StagedEntry> {
    const small = entry.size <= this.#inlineBytesMax ? await readLocalFile(entry, this.#inlineBytesMax) : undefined;
    if (small !== undefined) return { staged: stageBytes(small.bytes), source: small.entry };
    let seen = 0;
    const staged = await stageBody(
      this.#context,
      { file: entry.path },
      {
        signal: this.#pool.signal,
        target: formatName(entry.path),
        compress: this.#options.compress,
        onProgress: ({ bytes }) => {
          this.meter.add(0, bytes - seen);
          seen = bytes;
          this.#metered.set(entry, seen);
        },
      },
    );
    return { staged, source: entry };
  }

  async #publish(
    entry: LocalEntry,
    into: RemoteDirectory | undefined,
    existing: NodeCard | undefined,
    { staged, source }: StagedEntry,
  ): Promise<InodeNumber | undefined> {
    if (into === undefined) return undefined;
    const ino = await this.#writer.file(into.place(entry.name), this.#node(source), staged, existing);
    await this.#note(entry, into, existing, staged.size);
    return ino;
  }

  async #note(entry: LocalEntry, into: RemoteDirectory, existing: NodeCard | undefined, bytes: number): Promise<void> {
    await this.#tell(existing === undefined ? 'create' : 'update', entry);
    if (existing === undefined || existing.type !== entry.type) into.changed();
    if (entry.type === 'file') {
      this.#counts.files += 1;
      this.#counts.bytes += bytes;
    } else if (entry.type === 'symlink') this.#counts.symlinks += 1;
    else this.#counts.specials += 1;
  }

  /** The bytes of an entry are counted once, whether they were sent or not. */
  #meterEnd(entry: LocalEntry): void {
    const bytes = entry.type === 'file' ? entry.size : 0;
    this.meter.add(1, Math.max(0, bytes - (this.#metered.get(entry) ?? 0)));
  }

  /** By what costs nothing to ask. */
  #looksTheSame(entry: LocalEntry, existing: NodeCard | undefined): boolean {
    if (this.#options.existing !== 'update' || existing?.type !== entry.type) return false;
    if (entry.type !== 'file') return entry.type === 'symlink' || existing.rdev === entry.rdev;
    if (existing.size !== entry.size) return false;
    return this.#options.checksum === true || sameTime(entry, existing);
  }

  async #isSame(entry: LocalEntry, existing: NodeCard, target: Uint8Array | undefined): Promise<boolean> {
    if (!this.#looksTheSame(entry, existing)) return false;
    if (target !== undefined) return existing.target !== undefined && Buffer.compare(existing.target, target) === 0;
    if (entry.type !== 'file' || this.#options.checksum !== true) return true;
    return existing.digest !== undefined && existing.digest === (await digestOfFile(entry.path, existing.digest, this.#pool.signal));
  }

  /** The body stays; everything else becomes what it is here. */
  async #sameBody(entry: LocalEntry, existing: NodeCard): Promise<InodeNumber> {
    const isChanged = await this.#matchAttributes(entry, existing);
    if (isChanged) this.#counts.attributes += 1;
    else this.#counts.unchanged += 1;
    return existing.ino;
  }

  async #matchAttributes(entry: LocalEntry, existing: NodeCard, isSilent = false): Promise<boolean> {
    const node = this.#node(entry);
    const differs =
      this.#writer.change(node, existing) !== undefined || (await this.#writer.differsInXattrs(existing.ino, node.xattrs, existing.xattrs));
    if (!differs) return false;
    if (!isSilent) await this.#tell('attributes', entry);
    if (this.#options.dryRun === true) return true;
    await this.#writer.attributes(node, existing);
    await this.#writer.xattrs(existing.ino, node.xattrs, existing.xattrs);
    return true;
  }

  async #link({ entry, into, existing }: LateLink): Promise<void> {
    this.#meterEnd(entry);
    const first = await this.#linked.get(entry.identity);
    if (first !== undefined && existing?.ino === first) {
      this.#counts.unchanged += 1;
      return;
    }
    if (this.#options.dryRun !== true) {
      // Its first name failed and was told of: this name of it shall not be missing for that.
      if (first === undefined) return void (await this.#entry(entry, into, existing));
      await this.#writer.link(into.place(entry.name), first, existing);
    }
    await this.#tell('link', entry);
    into.changed();
    this.#counts.links += 1;
  }

  async #noteSuperfluous(directory: LocalEntry, into: RemoteDirectory, entries: readonly LocalEntry[]): Promise<void> {
    for (const { name, type } of await into.others(entries.map(({ name: known }) => known))) {
      const path = [relativePath(this.#mustRoot().path, directory.path), formatName(name)].filter((part) => part !== '').join('/');
      if (this.#filter?.takes(path, type === 'directory') !== false) this.#superfluous.push({ into, type, name, path });
    }
  }

  /** Last, and only after everything else went well. */
  async #removeSuperfluous(): Promise<void> {
    await this.#inPool(this.#superfluous, async ({ into, type, name, path }) => {
      await this.#failures.attempt(path, async () => {
        const entry = into.place(name);
        if (this.#options.dryRun !== true) {
          if (type !== 'directory') await this.#gathered.mutate('unlink', { entry });
          else if (this.#filter === undefined) await this.#gathered.mutate('remove-tree', { entry });
          else await this.#removeTaken(entry, path);
        }
        await this.#options.onChange?.({ action: 'delete', path, type });
        into.changed();
        this.#counts.deleted += 1;
      });
    });
  }

  /** What the filter leaves out stays, and the directories that hold it. */
  async #removeTaken(entry: Place, path: string): Promise<boolean> {
    const { signal } = this.#pool;
    const { ino } = await this.#context.metadata.read('stat', { node: entry, follow: false }, { signal });
    const directory = new RemoteDirectory({ context: this.#context, signal, ino, isFull: true });
    let isEmpty = true;
    for (const { name, type } of await directory.others([])) {
      const below = `${path}/${formatName(name)}`;
      if (this.#filter?.takes(below, type === 'directory') === false) isEmpty = false;
      else if (type === 'directory') isEmpty = (await this.#removeTaken(directory.place(name), below)) && isEmpty;
      else await this.#gathered.mutate('unlink', { entry: directory.place(name) });
    }
    if (isEmpty) await this.#gathered.mutate('rmdir', { entry });
    return isEmpty;
  }

  /** Times of directories come last: every entry made in one moves them. */
  async #finishDirectory(entry: LocalEntry, remote: RemoteDirectory | undefined): Promise<void> {
    if (remote?.ino === undefined || this.#options.dryRun === true) return;
    // The destination itself of a plain put may hold other things: it stays what it is.
    if (entry.parent === undefined && this.#options.existing === 'overwrite') return;
    const node = this.#node(entry);
    if (remote.card === undefined) {
      const mode = (entry.mode & OWNER_WRITE) === OWNER_WRITE ? {} : { mode: entry.mode };
      await this.#gathered.mutate('setattr', { node: { ino: remote.ino }, mtime: node.mtime, ...mode });
      await this.#writer.xattrs(remote.ino, node.xattrs, []);
      return;
    }
    const mtime = remote.isChanged ? MOVED : remote.card.mtime;
    const isChanged = await this.#matchAttributes(entry, { ...remote.card, mtime }, remote.isChanged);
    if (entry.parent === undefined) return;
    if (isChanged && !remote.isChanged) this.#counts.attributes += 1;
    else this.#counts.unchanged += 1;
  }

  #node(entry: LocalEntry): SourceNode {
    const { type, mode, mtime, rdev, uid, gid } = entry;
    return { type, mode, mtime, rdev, owner: this.#options.owner ?? { uid, gid }, xattrs: this.#xattrsOf(entry) };
  }

  #xattrsOf({ path }: LocalEntry): readonly Xattr[] | undefined {
    const calls = this.#calls;
    if (calls === undefined) return undefined;
    try {
      return calls
        .listXattrs(path)
        .filter(keptXattr)
        .map((name) => ({ name, value: calls.getXattr(path, name) }));
    } catch (error) {
      throw localError(error, `read the extended attributes of ${formatName(path)}`);
    }
  }

  async #tell(action: TreeChange['action'], { path, type }: LocalEntry): Promise<void> {
    await this.#options.onChange?.({ action, path: relativePath(this.#mustRoot().path, path) || '.', type });
  }

  async #attempt<Result>({ path }: LocalEntry, task: () => Promise<Result>): Promise<Result | undefined> {
    return this.#failures.attempt(relativePath(this.#mustRoot().path, path) || '.', task);
  }

  async #inPool<Item>(items: readonly Item[], task: (item: Item) => Promise<unknown>): Promise<void> {
    for (const item of items) await this.#pool.add(async () => void (await task(item)));
    await this.#pool.drain();
  }

  #mustRoot(): LocalEntry {
    if (this.#root === undefined) throw new NokvError('internal', 'a transfer has not begun');
    return this.#root;
  }
}

function sameTime(entry: LocalEntry, { mtime }: NodeCard): boolean {
  return entry.mtime.sec === mtime.sec && entry.mtime.nsec === mtime.nsec;
}

async function readTarget(entry: LocalEntry): Promise<Uint8Array> {
  try {
    return await readlink(entry.path, { encoding: 'buffer' });
  } catch (error) {
    throw localError(error, `read the symlink ${formatName(entry.path)}`);
  }
}

/** A promise for those who wait for what a task makes: they get undefined when it fails, and the pool the failure. */
interface Resolvers<Value> {
  readonly promise: Promise<Value>;
  readonly settle: (making: Promise<Value>) => Promise<void>;
}

function withResolvers<Value>(): Resolvers<Value | undefined> {
  let resolve: (value: Value | undefined) => void = () => undefined;
  const promise = new Promise<Value | undefined>((resolved) => (resolve = resolved));
  return {
    promise,
    async settle(making) {
      try {
        resolve(await making);
      } catch (error) {
        resolve(undefined);
        throw error;
      }
    },
  };
}

function specialFilesError(paths: readonly string[], count: number): NokvError {
  const others = count > 1 ? ` and ${count - 1} more` : '';
  return new NokvError(
    'not-regular-file',
    `${paths[0]}${others}: neither file, directory nor symlink; remove it, or ask to skip or keep special files`,
  );
}
