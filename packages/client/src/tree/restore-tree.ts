/**
 * Brings what lies below a remote directory into a local one: directories first, bodies many at once, further names of a
 * file, superfluous entries, and modes and times of directories at the end.
 *
 * Nothing is written outside the destination: names are checked again, and a directory that is descended into is a real one, made
 * here or found to be no symlink.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink, rm, rmdir, unlink } from 'node:fs/promises';
import { NokvError, formatName, isNokvError, type At, type NodeCard, type ReadPlan } from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import { localError } from '../local-error.js';
import type { CallOptions } from '../metadata-client.js';
import { ProgressMeter } from '../progress-meter.js';
import type { ProgressListener } from '../progress.js';
import type { SyncReport, TreeChange, TreeFilterOptions } from '../trees.js';
import { Failures } from './failures.js';
import { localCalls } from './local-calls.js';
import { digestOfFile } from './local-digest.js';
import { childPath, relativePath } from './local-tree.js';
import { LocalWriter, isLocalType, onThisMachine, type LocalNode } from './local-writer.js';
import { pathFilter, type PathFilter } from './path-filter.js';
import { RemoteTree, type RemoteEntry } from './remote-tree.js';
import { TaskPool } from './task-pool.js';
import { LARGE_FILES_MAX, LARGE_FILE_BYTES_MIN, transferJobs } from './transfer-jobs.js';

export interface RestoreOptions extends CallOptions, TreeFilterOptions {
  readonly jobs?: number | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** `overwrite`: what is there is written again; `update`: what is the same stays, and what is of another kind makes room. */
  readonly existing: 'overwrite' | 'update';
  readonly specialFiles: 'skip' | 'keep';
  /** Leave what is there: all of it, or what is not older. */
  readonly keep?: 'existing' | 'newer' | undefined;
  readonly owners: boolean;
  readonly at: At | undefined;
  readonly checksum?: boolean | undefined;
  readonly delete?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly collectsFailures?: boolean | undefined;
  readonly onChange?: ((change: TreeChange) => unknown) | undefined;
}

interface LocalDirectory {
  readonly path: Buffer;
  readonly card: NodeCard;
  /** As it was found; undefined: it was made here (or would be). */
  readonly found: BigIntStats | undefined;
  /** Its mode was changed so that it can be written into. */
  readonly isOpened: boolean;
  isChanged: boolean;
}

interface Entry extends RemoteEntry {
  readonly path: Buffer;
  readonly into: LocalDirectory;
}

export class RestoreTree {
  readonly #context: ClientContext;
  readonly #options: RestoreOptions;
  readonly #pool: TaskPool;
  readonly #large: TaskPool;
  readonly #remote: RemoteTree;
  readonly #writer: LocalWriter;
  readonly #filter: PathFilter | undefined;
  readonly #failures: Failures;
  readonly #finished: LocalDirectory[] = [];
  /** Where the first name of a file with several names is, by inode. */
  readonly #linked = new Map<number, Buffer>();
  readonly #lateLinks: Entry[] = [];
  readonly #superfluous: Buffer[] = [];
  readonly #counts = { files: 0, directories: 0, symlinks: 0, links: 0, specials: 0, bytes: 0, unchanged: 0, attributes: 0, deleted: 0 };
  readonly #skipped: { path: string; reason: string }[] = [];
  readonly #meter: ProgressMeter;
  #top: Buffer = Buffer.alloc(0);

  static async start(context: ClientContext, options: RestoreOptions, signal: AbortSignal): Promise<RestoreTree> {
    const pool = new TaskPool(transferJobs(options.jobs), signal);
    const filter = pathFilter(options);
    const calls = await localCalls();
    const { owners } = options;
    const writer = new LocalWriter({ context, calls, owners, mayRemoveTrees: options.delete === true });
    return new RestoreTree(context, options, pool, filter, writer);
  }

  private constructor(
    context: ClientContext,
    options: RestoreOptions,
    pool: TaskPool,
    filter: PathFilter | undefined,
    writer: LocalWriter,
  ) {
    this.#context = context;
    this.#options = options;
    this.#pool = pool;
    this.#large = new TaskPool(LARGE_FILES_MAX, pool.signal);
    this.#remote = new RemoteTree(context, pool.signal, options.at);
    this.#writer = writer;
    this.#filter = filter;
    this.#failures = new Failures(options.collectsFailures === true);
    this.#meter = new ProgressMeter(options.onProgress, context.clock);
  }

  /** @param found the destination as it is; undefined: it is not there, in a dry run. */
  async restore(card: NodeCard, top: Buffer, found: BigIntStats | undefined): Promise<SyncReport> {
    this.#top = top;
    this.#meter.phase('scan');
    this.#meter.phase('transfer', this.#meter.isHeard ? await this.#remote.totals(card.ino, this.#filter) : {});
    const root = { path: top, card, found, isOpened: false, isChanged: false };
    this.#counts.directories += this.#options.existing === 'overwrite' || found === undefined ? 1 : 0;
    try {
      await this.#walk(root);
    } catch (error) {
      this.#pool.fail(error);
    }
    await this.#large.drain().catch((error: unknown) => this.#pool.fail(error));
    await this.#pool.drain();
    for (const late of this.#lateLinks) await this.#attempt(late.path, async () => this.#link(late));
    if (this.#failures.count === 0) for (const path of this.#superfluous) await this.#attempt(path, async () => this.#remove(path));
    for (const directory of this.#finished.toReversed()) await this.#attempt(directory.path, async () => this.#finish(directory));
    for (const reason of this.#writer.notes) this.#skipped.push({ path: '.', reason });
    this.#meter.phase('done');
    return { ...this.#counts, skipped: this.#skipped, failed: this.#failures.count, failures: this.#failures.list };
  }

  async #walk(root: LocalDirectory): Promise<void> {
    const pending = [root];
    // Ends with the tree: hard links of directories do not exist and symlinks are not followed.
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      this.#finished.push(directory);
      this.#meter.add(1, 0);
      const into = directory;
      const names = new Set<string>();
      for await (const page of this.#remote.entriesOf(into.card.ino)) {
        const entries = page
          .map(({ name, card }) => ({ name, card, into, path: childPath(into.path, name) }))
          .filter((entry) => this.#takes(entry));
        if (this.#options.delete === true) for (const { name } of page) names.add(Buffer.from(name).toString('latin1'));
        for (const entry of entries.filter(({ card }) => card.type === 'directory')) {
          const made = await this.#attempt(entry.path, async () => this.#directory(entry));
          if (made !== undefined) pending.push(made);
        }
        await this.#entries(entries.filter(({ card }) => card.type !== 'directory'));
      }
      if (this.#options.delete === true && into.found !== undefined) await this.#noteSuperfluous(into, names);
    }
  }

  async #directory({ path, card, into }: Entry): Promise<LocalDirectory> {
    const found = await statLocal(path);
    const isThere = found?.isDirectory() === true;
    if (!isThere) {
      await this.#tell(found === undefined ? 'create' : 'update', path, card);
      this.#counts.directories += 1;
      into.isChanged = true;
    } else if (this.#options.existing === 'overwrite') this.#counts.directories += 1;
    const isOpened =
      this.#options.dryRun !== true &&
      (await this.#writer.directory(path, found, this.#options.existing === 'update' ? 'replace' : 'refuse'));
    return { path, card, found: isThere ? found : undefined, isOpened, isChanged: false };
  }

  /** Resolves as soon as all of them are under way. */
  async #entries(entries: readonly Entry[]): Promise<void> {
    const small: Entry[] = [];
    for (const entry of entries) {
      if (entry.card.nlink > 1 && this.#isFurtherName(entry)) continue;
      if (entry.card.type === 'file' && entry.card.size < LARGE_FILE_BYTES_MIN) small.push(entry);
      else await (entry.card.type === 'file' ? this.#large : this.#pool).add(() => this.#one(entry, undefined));
    }
    if (small.length === 0) return;
    const isWanted = await Promise.all(
      small.map(async (entry) => (await this.#attempt(entry.path, async () => !(await this.#stays(entry)))) ?? false),
    );
    const wanted = small.filter((_, place) => isWanted[place] === true);
    small.filter((_, place) => isWanted[place] !== true).forEach(({ card }) => this.#meter.add(1, card.size));
    const plans = this.#options.dryRun === true || wanted.length === 0 ? [] : await this.#remote.plans(wanted.map(({ card }) => card.ino));
    for (const [place, entry] of wanted.entries()) await this.#pool.add(() => this.#one(entry, plans[place]));
  }

  #isFurtherName(entry: Entry): boolean {
    const first = this.#linked.get(entry.card.ino);
    if (first === undefined) this.#linked.set(entry.card.ino, entry.path);
    else this.#lateLinks.push(entry);
    return first !== undefined;
  }

  async #one(entry: Entry, plan: ReadPlan | undefined): Promise<void> {
    let seen = 0;
    await this.#attempt(entry.path, async () => {
      if (plan === undefined && (await this.#stays(entry))) return;
      await this.#write(entry, plan, (bytes) => {
        seen += bytes;
        this.#meter.add(0, bytes);
      });
    });
    this.#meter.add(1, entry.card.type === 'file' ? Math.max(0, entry.card.size - seen) : 0);
  }

  async #write({ path, card, into }: Entry, plan: ReadPlan | undefined, onBytes: (bytes: number) => void): Promise<void> {
    const found = await statLocal(path);
    if (found?.isDirectory() === true && this.#options.delete !== true) {
      throw new NokvError(
        'is-directory',
        `${formatName(path)} is a directory on this machine; remove it, or ask to delete what the source does not have`,
      );
    }
    if (this.#options.dryRun !== true && !(await this.#make(path, card, into, plan, onBytes))) return;
    await this.#tell(found === undefined ? 'create' : 'update', path, card);
    into.isChanged = true;
    if (card.type === 'file') {
      this.#counts.files += 1;
      this.#counts.bytes += card.size;
    } else if (card.type === 'symlink') this.#counts.symlinks += 1;
    else this.#counts.specials += 1;
  }

  async #make(
    path: Buffer,
    card: NodeCard,
    into: LocalDirectory,
    plan: ReadPlan | undefined,
    onBytes: (bytes: number) => void,
  ): Promise<boolean> {
    const { signal } = this.#pool;
    const node = await this.#node(card);
    if (card.type === 'file') {
      const read = plan ?? (await this.#remote.plan(card.ino));
      // What was published since the listing comes with the attributes that it has.
      await this.#writer.file(into.path, path, { ...node, attributes: read.attributes }, handleOf(this.#context, read), {
        signal,
        onBytes,
      });
      return true;
    }
    if (card.type === 'symlink') {
      await this.#writer.symlink(into.path, path, node, card.target ?? new Uint8Array(0));
      return true;
    }
    if (this.#options.specialFiles === 'keep' && (await this.#writer.special(into.path, path, node))) return true;
    this.#skipped.push({ path: formatName(path), reason: `a ${card.type} is not restored` });
    return false;
  }

  /** What is there already is left, its attributes set where they differ. */
  async #stays({ path, card }: Entry): Promise<boolean> {
    const { existing, keep } = this.#options;
    if (existing !== 'update' && keep === undefined) return false;
    const found = await statLocal(path);
    if (found !== undefined && (keep === 'existing' || (keep === 'newer' && !isOlder(found, card)))) {
      this.#counts.unchanged += 1;
      this.#skipped.push({
        path: formatName(path),
        reason: keep === 'newer' ? 'it is not older than what would replace it' : 'it is there',
      });
      return true;
    }
    if (existing !== 'update' || found === undefined || !isLocalType(found, card.type) || !(await this.#isSame(path, card, found)))
      return false;
    const node = await this.#node(card);
    if (!this.#writer.differs(path, found, node)) {
      this.#counts.unchanged += 1;
      return true;
    }
    await this.#tell('attributes', path, card);
    if (this.#options.dryRun !== true)
      await onThisMachine(`set attributes of ${formatName(path)}`, async () => this.#writer.attributes(path, node));
    this.#counts.attributes += 1;
    return true;
  }

  async #isSame(path: Buffer, card: NodeCard, found: BigIntStats): Promise<boolean> {
    if (card.type === 'symlink') {
      const target = await onThisMachine(`read ${formatName(path)}`, async () => readlink(path, { encoding: 'buffer' }));
      return card.target !== undefined && Buffer.compare(target, card.target) === 0;
    }
    if (card.type !== 'file') return Number(found.rdev) === card.rdev;
    if (Number(found.size) !== card.size) return false;
    if (this.#options.checksum !== true) return this.#writer.isSameTime(found, card);
    return card.digest !== undefined && card.digest === (await digestOfFile(path, card.digest, this.#pool.signal));
  }

  async #link(entry: Entry): Promise<void> {
    const { path, card, into } = entry;
    this.#meter.add(1, card.type === 'file' ? card.size : 0);
    const first = this.#linked.get(card.ino);
    if (first === undefined) return;
    const [there, found] = [await statLocal(first), await statLocal(path)];
    if (there !== undefined && found !== undefined && there.ino === found.ino && there.dev === found.dev) {
      this.#counts.unchanged += 1;
      return;
    }
    if (this.#options.dryRun !== true) {
      // Its first name failed and was told of: this name of it shall not be missing for that.
      if (there === undefined) return await this.#write(entry, undefined, () => undefined);
      await this.#writer.link(into.path, path, first);
    }
    await this.#tell('link', path, card);
    into.isChanged = true;
    this.#counts.links += 1;
  }

  async #noteSuperfluous(directory: LocalDirectory, names: ReadonlySet<string>): Promise<void> {
    const found = await onThisMachine(`read the directory ${formatName(directory.path)}`, async () =>
      readdir(directory.path, { encoding: 'buffer', withFileTypes: true }),
    );
    for (const entry of found) {
      if (names.has(entry.name.toString('latin1'))) continue;
      const path = childPath(directory.path, entry.name);
      if (this.#filter?.takes(relativePath(this.#top, path), entry.isDirectory()) === false) continue;
      this.#superfluous.push(path);
      directory.isChanged = true;
    }
  }

  async #remove(path: Buffer): Promise<void> {
    const found = await statLocal(path);
    if (found === undefined) return;
    if (this.#options.dryRun !== true) {
      await onThisMachine(`remove ${formatName(path)}`, async () => {
        if (!found.isDirectory()) await unlink(path);
        else if (this.#filter === undefined) await rm(path, { recursive: true });
        else await this.#removeTaken(path);
      });
    }
    await this.#options.onChange?.({
      action: 'delete',
      path: relativePath(this.#top, path),
      type: found.isDirectory() ? 'directory' : 'file',
    });
    this.#counts.deleted += 1;
  }

  /** What the filter leaves out stays, and the directories that hold it. */
  async #removeTaken(directory: Buffer): Promise<boolean> {
    let isEmpty = true;
    for (const entry of await readdir(directory, { encoding: 'buffer', withFileTypes: true })) {
      const path = childPath(directory, entry.name);
      if (this.#filter?.takes(relativePath(this.#top, path), entry.isDirectory()) === false) isEmpty = false;
      else if (entry.isDirectory()) isEmpty = (await this.#removeTaken(path)) && isEmpty;
      else await unlink(path);
    }
    if (isEmpty) await rmdir(directory);
    return isEmpty;
  }

  async #finish({ path, card, found, isOpened, isChanged }: LocalDirectory): Promise<void> {
    if (this.#options.dryRun === true) return;
    const node = await this.#node(card);
    const isUpdate = this.#options.existing === 'update' && found !== undefined;
    if (isUpdate && !isChanged && !this.#writer.differs(path, found, node)) {
      if (isOpened) await onThisMachine(`set the mode of ${formatName(path)}`, async () => this.#writer.attributes(path, node));
      if (path !== this.#top) this.#counts.unchanged += 1;
      return;
    }
    await onThisMachine(`set mode and times of ${formatName(path)}`, async () => this.#writer.attributes(path, node));
    if (!isUpdate || path === this.#top) return;
    if (isChanged) this.#counts.unchanged += 1;
    else {
      await this.#tell('attributes', path, card);
      this.#counts.attributes += 1;
    }
  }

  async #node(card: NodeCard): Promise<LocalNode> {
    return { attributes: card, xattrs: card.xattrs.length === 0 ? [] : await this.#remote.xattrs(card) };
  }

  #takes({ path, card }: Entry): boolean {
    return this.#filter?.takes(relativePath(this.#top, path), card.type === 'directory') !== false;
  }

  async #tell(action: TreeChange['action'], path: Buffer, { type }: NodeCard): Promise<void> {
    await this.#options.onChange?.({ action, path: relativePath(this.#top, path) || '.', type });
  }

  async #attempt<Result>(path: Buffer, task: () => Promise<Result>): Promise<Result | undefined> {
    return this.#failures.attempt(relativePath(this.#top, path) || '.', task);
  }
}

/** Whether a local entry was changed before one in the namespace. */
export function isOlder(found: BigIntStats, { mtime }: Pick<NodeCard, 'mtime'>): boolean {
  return found.mtimeNs < BigInt(mtime.sec) * 1_000_000_000n + BigInt(mtime.nsec);
}

export async function statLocal(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    const translated = localError(error, `stat ${formatName(path)}`);
    if (isNokvError(translated, 'not-found')) return undefined;
    throw translated;
  }
}
