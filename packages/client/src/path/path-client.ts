/** {@link NokvClient} over the inode-level client: paths in, operations out. */
import type { BlockStore, DiskCache } from '@nokv/object';
import type {
  BackupReport,
  EntryRef,
  Generation,
  InodeNumber,
  ListedMutation,
  LockHolder,
  LogRow,
  NodeCard,
  NodeRef,
  Precondition,
  SessionCard,
  SessionId,
  SetattrArgs,
  Settled,
  StatfsResult,
  CollectArgs,
  CollectResult,
  FsckArgs,
  FsckItem,
  ShardFigures,
  ShardFiguresArgs,
} from '@nokv/types';
import { LIST_LIMIT_MAX, NokvError, SESSIONS_LIMIT_MAX, formatName, isNokvError, splitPath } from '@nokv/types';
import { openBody } from '../body/open-body.js';
import { stageBody } from '../body/stage-body.js';
import { endUpload } from '../body/upload-lease.js';
import type { BodyHandle, BodyRange } from '../body-handle.js';
import type { ClientContext } from '../client-context.js';
import type {
  AtLike,
  AtOption,
  CloneOptions,
  Difference,
  DiffPoint,
  MergeOptions,
  MergeOutcome,
  Pruned,
  PruneOptions,
  RevertOptions,
  RevertOutcome,
  RollbackOptions,
  RollbackOutcome,
  UndeleteOptions,
} from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import type {
  AttributeChanges,
  BackupOptions,
  CopyOptions,
  DirectoryEntry,
  DirectoryPage,
  GetOptions,
  ListOptions,
  MkdirOptions,
  MutationOptions,
  NodeOutcome,
  NokvClient,
  Outcome,
  PathLike,
  PublishOptions,
  PutOptions,
  PutOutcome,
  StagedBody,
  StageOptions,
  SpliceOptions,
  SpliceOutcome,
  TimeLike,
} from '../nokv-client.js';
import type { PutSource } from '../put-source.js';
import { openSession } from '../held/session-lease.js';
import type { ClientSession, SessionOptions } from '../sessions.js';
import { getFile } from '../tree/get-file.js';
import { exportTree, getTree } from '../tree/get-tree.js';
import { importTree, putInto, putTree } from '../tree/put-tree.js';
import { archiveTree } from '../tree/tar/archive-tree.js';
import { unarchiveTree } from '../tree/tar/unarchive-tree.js';
import type {
  ArchiveOptions,
  ExportOptions,
  GetFileOptions,
  GetTreeOptions,
  ImportOptions,
  PutTreeOptions,
  SyncReport,
  TreeReport,
  UnarchiveOptions,
} from '../trees.js';
import { watchPath } from './watch-path.js';
import type { PastChangesOptions, Watch, WatchEvent, WatchOptions } from '../watch-event.js';
import type {
  Batch,
  RangeRead,
  RangeRequest,
  ReadFile,
  ReadManyOptions,
  ReadRangesOptions,
  Transaction,
  TransactionOutcome,
} from '../lists.js';
import { PathBatch, createMany, removeMany } from './batch.js';
import { readMany, statMany } from './read-many.js';
import { readRanges } from './read-ranges.js';
import { PathTransaction, transact } from './transaction.js';
import { spliceBody } from './splice-body.js';
import { truncateBody } from './truncate.js';
import { Commits } from './commits.js';
import { comparePaths } from './compare.js';
import { copyBody } from './copy-body.js';
import { Forks } from './forks.js';
import { atArgument, fixedMoment } from './moment.js';
import { pastChanges } from './past-changes.js';
import { PathRetention } from './retention.js';
import type { CacheFigures } from '../cache-options.js';
import { PathTiers } from '../tier/path-tiers.js';
import { PathUploads } from './path-uploads.js';
import { PathStorage } from './storage-settings.js';
import { PathSnapshots } from './snapshots.js';
import { PathTags } from './tags.js';
import { logPath, prunePath } from './versions.js';
import { defined, nameBytes, pathBytes, timeOrNow, valueBytes } from './arguments.js';
import { derivedRequestId, publishBody, putBody } from './publish-body.js';

const LIST_LIMIT_DEFAULT = 1000;
const DIRECTORY_MODE = 0o755;

const COLLECT_ROWS_DEFAULT = 100;

export class PathClient implements NokvClient {
  readonly uploads: PathUploads;
  readonly snapshots: PathSnapshots;
  readonly tags: PathTags;
  readonly retention: PathRetention;
  readonly storage: PathStorage;
  readonly tiers: PathTiers;
  readonly #context: ClientContext;
  readonly #commits: Commits;
  readonly #forks: Forks;
  readonly #close: () => Promise<void>;

  constructor(context: ClientContext, close: () => Promise<void>) {
    this.#context = context;
    this.#close = close;
    this.#commits = new Commits(context);
    this.#forks = new Forks(context, this.#commits);
    this.uploads = new PathUploads(context);
    this.snapshots = new PathSnapshots(context.metadata, this.#commits);
    this.tags = new PathTags(context.metadata, this.#commits);
    this.retention = new PathRetention(context.metadata, this.#commits);
    this.storage = new PathStorage(context);
    this.tiers = new PathTiers(context);
  }

  get cacheFigures(): CacheFigures {
    return this.#context.reader.figures;
  }

  get diskCache(): DiskCache | undefined {
    return this.#context.disk;
  }

  get metadata(): MetadataClient {
    return this.#context.metadata;
  }

  stat(path: PathLike, options: CallOptions & AtOption & { readonly follow?: boolean } = {}): Promise<NodeCard> {
    return this.#read(() => this.metadata.read('stat', { node: at(path), ...follow(options), ...atArgument(options) }, options));
  }

  async exists(path: PathLike, options?: CallOptions & AtOption): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isNokvError(error, 'not-found') || isNokvError(error, 'not-directory')) return false;
      throw error;
    }
  }

  async *list(path: PathLike, options: ListOptions = {}): AsyncGenerator<DirectoryEntry> {
    let after = options.after;
    const moment = await fixedMoment(this.metadata, options.at, options);
    // Ends at the last page; each page begins after the last name of the one before.
    for (;;) {
      const page = await this.listPage(path, { ...options, after, at: moment });
      yield* page.entries;
      after = page.entries.at(-1)?.nameBytes;
      if (!page.more || after === undefined) return;
    }
  }

  async listPage(path: PathLike, options: ListOptions = {}): Promise<DirectoryPage> {
    const { limit = LIST_LIMIT_DEFAULT, after, attributes = true } = options;
    if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
      throw new NokvError('invalid-argument', `expected a limit of 1 to ${LIST_LIMIT_MAX} entries, found ${limit}`);
    }
    const args = { node: at(path), limit, attributes, ...(after === undefined ? {} : { after: nameBytes(after) }), ...atArgument(options) };
    const { entries, more } = await this.metadata.read('list', args, options);
    return { entries: entries.map(({ name, ...rest }) => ({ name: formatName(name), nameBytes: name, ...rest })), more };
  }

  async readlink(path: PathLike, options: CallOptions & AtOption = {}): Promise<Uint8Array> {
    return (await this.metadata.read('readlink', { node: at(path), ...atArgument(options) }, options)).target;
  }

  async pathOf(ino: InodeNumber, options: CallOptions & AtOption = {}): Promise<string> {
    return formatName((await this.metadata.read('path-of', { ino, ...atArgument(options) }, options)).path);
  }

  async statMany(
    paths: Iterable<PathLike>,
    options: CallOptions & AtOption & { readonly follow?: boolean } = {},
  ): Promise<readonly Settled<NodeCard>[]> {
    return statMany(this.#context, paths, options);
  }

  async readMany(paths: Iterable<PathLike>, options: ReadManyOptions = {}): Promise<readonly Settled<ReadFile>[]> {
    return readMany(this.#context, paths, options);
  }

  async readRanges(ranges: Iterable<RangeRequest>, options: ReadRangesOptions = {}): Promise<readonly Settled<RangeRead>[]> {
    return readRanges(this.#context, ranges, options);
  }

  async createMany(
    paths: Iterable<PathLike>,
    options: MutationOptions & { readonly mode?: number; readonly exclusive?: boolean } = {},
  ): Promise<readonly Settled<NodeOutcome>[]> {
    return createMany(this.#context, paths, options);
  }

  async removeMany(paths: Iterable<PathLike>, options: MutationOptions = {}): Promise<readonly Settled<Outcome>[]> {
    return removeMany(this.#context, paths, options);
  }

  batch(): Batch {
    return new PathBatch(this.#context);
  }

  transaction(): Transaction {
    return new PathTransaction(this.#context);
  }

  async transact(
    operations: readonly ListedMutation[],
    options: Omit<MutationOptions, 'owner'> & { readonly preconditions?: readonly Precondition[] } = {},
  ): Promise<TransactionOutcome> {
    return transact(this.#context, operations, options.preconditions ?? [], options);
  }

  statfs(options?: CallOptions): Promise<StatfsResult> {
    return this.metadata.read('statfs', {}, options);
  }

  async mkdir(path: PathLike, options: MkdirOptions = {}): Promise<NodeOutcome> {
    const { mode = DIRECTORY_MODE, parents = false } = options;
    return this.#commits.run(options, async (call) => {
      const args = { entry: at(path), mode, parents, ...this.#commits.owner(options) };
      const { version, result } = await this.metadata.mutate('mkdir', args, call);
      return { version, attributes: result.attributes };
    });
  }

  async put(path: PathLike, source: PutSource, options: PutOptions = {}): Promise<PutOutcome> {
    return putBody(this.#context, at(path), source, { target: text(path), ...options });
  }

  async stage(source: PutSource, options: StageOptions = {}): Promise<StagedBody> {
    return stageBody(this.#context, source, options);
  }

  async publish(path: PathLike, body: StagedBody, options: PublishOptions = {}): Promise<PutOutcome> {
    return publishBody(this.#context, at(path), body, options);
  }

  async discard(body: StagedBody): Promise<void> {
    await endUpload(this.#context, body.staged.upload);
  }

  async get(path: PathLike, options: GetOptions = {}): Promise<BodyHandle> {
    return openBody(this.#context, at(path), options);
  }

  async getStream(path: PathLike, options: GetOptions & BodyRange = {}): Promise<ReadableStream<Uint8Array>> {
    const body = await this.get(path, options);
    const chunks = body.stream(options)[Symbol.asyncIterator]();
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          await chunks.return?.();
        },
      },
      { highWaterMark: 0 },
    );
  }

  async copy(from: PathLike, to: PathLike, options: CopyOptions = {}): Promise<PutOutcome> {
    return copyBody(this.#context, at(from), at(to), options);
  }

  async remove(path: PathLike, options: MutationOptions = {}): Promise<Outcome> {
    const requestId = this.#commits.requestId(options);
    try {
      return await this.unlink(path, { ...options, requestId });
    } catch (error) {
      if (!isNokvError(error, 'is-directory')) throw error;
      return await this.rmdir(path, { ...options, requestId: derivedRequestId(requestId, 'd') });
    }
  }

  async removeTree(path: PathLike, options: MutationOptions = {}): Promise<Outcome> {
    return this.#commits.run(options, (call) => this.metadata.mutate('remove-tree', { entry: at(path) }, call));
  }

  async rmdir(path: PathLike, options: MutationOptions = {}): Promise<Outcome> {
    return this.#commits.run(options, (call) => this.metadata.mutate('rmdir', { entry: at(path) }, call));
  }

  async unlink(path: PathLike, options: MutationOptions = {}): Promise<Outcome> {
    return this.#commits.run(options, (call) => this.metadata.mutate('unlink', { entry: at(path) }, call));
  }

  async rename(
    from: PathLike,
    to: PathLike,
    options: MutationOptions & { readonly mode?: 'replace' | 'no-replace' | 'exchange' } = {},
  ): Promise<Outcome> {
    const { mode = 'replace' } = options;
    return this.#commits.run(options, (call) => this.metadata.mutate('rename', { from: at(from), to: at(to), mode }, call));
  }

  async link(existing: PathLike, path: PathLike, options: MutationOptions = {}): Promise<NodeOutcome> {
    return this.#commits.run(options, async (call) => {
      const { version, result } = await this.metadata.mutate('link', { node: at(existing), entry: at(path) }, call);
      return { version, attributes: result.attributes };
    });
  }

  async symlink(target: string | Uint8Array, path: PathLike, options: MutationOptions = {}): Promise<NodeOutcome> {
    return this.#commits.run(options, async (call) => {
      const args = { entry: at(path), target: valueBytes(target), ...this.#commits.owner(options) };
      const { version, result } = await this.metadata.mutate('symlink', args, call);
      return { version, attributes: result.attributes };
    });
  }

  async setattr(
    path: PathLike,
    changes: AttributeChanges,
    options: MutationOptions & { readonly follow?: boolean } = {},
  ): Promise<NodeOutcome> {
    const { mode, uid, gid, size, atime, mtime } = changes;
    const args: SetattrArgs = {
      node: at(path),
      ...follow(options),
      ...defined({
        mode,
        uid,
        gid,
        size,
        atime: atime === undefined ? undefined : timeOrNow(atime),
        mtime: mtime === undefined ? undefined : timeOrNow(mtime),
      }),
    };
    return this.#commits.run(options, async (call) => {
      const { version, result } = await this.metadata.mutate('setattr', args, call);
      return { version, attributes: result.attributes };
    });
  }

  async chmod(path: PathLike, mode: number, options: MutationOptions = {}): Promise<NodeOutcome> {
    return this.setattr(path, { mode }, options);
  }

  async chown(
    path: PathLike,
    uid: number,
    gid: number,
    options: MutationOptions & { readonly follow?: boolean } = {},
  ): Promise<NodeOutcome> {
    return this.setattr(path, { uid, gid }, options);
  }

  async utimes(
    path: PathLike,
    atime: TimeLike,
    mtime: TimeLike,
    options: MutationOptions & { readonly follow?: boolean } = {},
  ): Promise<NodeOutcome> {
    return this.setattr(path, { atime, mtime }, options);
  }

  async truncate(path: PathLike, size: number, options: MutationOptions = {}): Promise<NodeOutcome> {
    return truncateBody(this.#context, at(path), size, options);
  }

  async append(path: PathLike, source: PutSource, options: SpliceOptions = {}): Promise<SpliceOutcome> {
    return spliceBody(this.#context, at(path), undefined, source, { ...options, target: text(path) });
  }

  async patch(path: PathLike, offset: number, source: PutSource, options: SpliceOptions = {}): Promise<SpliceOutcome> {
    return spliceBody(this.#context, at(path), offset, source, { ...options, target: text(path) });
  }

  async getXattr(path: PathLike, name: string | Uint8Array, options: CallOptions & AtOption = {}): Promise<Uint8Array> {
    return (await this.metadata.read('xattr-get', { node: at(path), name: nameBytes(name), ...atArgument(options) }, options)).value;
  }

  async listXattrs(path: PathLike, options: CallOptions & AtOption = {}): Promise<readonly string[]> {
    return (await this.metadata.read('xattr-list', { node: at(path), ...atArgument(options) }, options)).names.map(formatName);
  }

  async setXattr(
    path: PathLike,
    name: string | Uint8Array,
    value: string | Uint8Array,
    options: MutationOptions & { readonly mode?: 'set' | 'create' | 'replace' } = {},
  ): Promise<Outcome> {
    const args = { node: at(path), name: nameBytes(name), value: valueBytes(value), mode: options.mode ?? 'set' };
    return this.#commits.run(options, (call) => this.metadata.mutate('xattr-set', args, call));
  }

  async removeXattr(path: PathLike, name: string | Uint8Array, options: MutationOptions = {}): Promise<Outcome> {
    return this.#commits.run(options, (call) => this.metadata.mutate('xattr-remove', { node: at(path), name: nameBytes(name) }, call));
  }

  async putTree(localDirectory: string, path: PathLike, options: PutTreeOptions = {}): Promise<TreeReport> {
    return putTree(this.#context, localDirectory, at(path), options);
  }

  async putInto(localDirectory: string, path: PathLike, options: PutTreeOptions = {}): Promise<TreeReport> {
    return putInto(this.#context, localDirectory, at(path), options);
  }

  async getTree(path: PathLike, localDirectory: string, options: GetTreeOptions = {}): Promise<TreeReport> {
    return getTree(this.#context, at(path), localDirectory, options);
  }

  async importTree(localDirectory: string, path: PathLike, options: ImportOptions = {}): Promise<SyncReport> {
    return importTree(this.#context, localDirectory, at(path), options);
  }

  async exportTree(path: PathLike, localDirectory: string, options: ExportOptions = {}): Promise<SyncReport> {
    return exportTree(this.#context, at(path), localDirectory, options);
  }

  archive(path: PathLike, options: ArchiveOptions = {}): AsyncIterable<Uint8Array> {
    const bytes = pathBytes(path);
    return archiveTree(this.#context, { path: bytes }, splitPath(bytes).at(-1) ?? bytes, options);
  }

  async unarchive(source: AsyncIterable<Uint8Array>, path: PathLike, options: UnarchiveOptions = {}): Promise<SyncReport> {
    return unarchiveTree(this.#context, source, at(path), options);
  }

  async getFile(path: PathLike, localFile: string, options: GetFileOptions = {}): Promise<TreeReport> {
    return getFile(this.#context, at(path), localFile, options);
  }

  async clone(from: PathLike, to: PathLike, options: CloneOptions = {}): Promise<NodeOutcome> {
    return this.#forks.clone(from, to, options);
  }

  async backup(destination: string, options: BackupOptions = {}): Promise<BackupReport> {
    const { onProgress, ...call } = options;
    for await (const item of this.#context.metadata.backup({ destination }, call)) {
      if (item.kind === 'progress') {
        onProgress?.({ rows: item.rows, bytes: item.bytes });
        continue;
      }
      const { version, rows, bytes, blocks, digest } = item;
      return { version, rows, bytes, blocks, digest };
    }
    throw new NokvError('connection-lost', 'the server ended the backup without a word', { outcome: 'unknown' });
  }

  fsck(options: CallOptions & Partial<FsckArgs> = {}): AsyncIterable<FsckItem> {
    const { repair = 'none', checksums = false, resume, ...call } = options;
    return this.metadata.fsck({ repair, checksums, ...(resume === undefined ? {} : { resume }) }, call);
  }

  async figures(options: CallOptions & Partial<ShardFiguresArgs> = {}): Promise<ShardFigures> {
    const { rows = false, ...call } = options;
    return this.metadata.shardFigures({ rows }, call);
  }

  async collect(options: CallOptions & Partial<CollectArgs> = {}): Promise<CollectResult> {
    const { dryRun = false, limit = COLLECT_ROWS_DEFAULT, ...call } = options;
    return this.metadata.collect({ dryRun, limit }, call);
  }

  diff(a: DiffPoint, b: DiffPoint, options: CallOptions = {}): AsyncIterable<Difference> {
    return comparePaths(this.#context, a, b, options);
  }

  async merge(fork: PathLike, options: MergeOptions = {}): Promise<MergeOutcome> {
    return this.#forks.merge(fork, options);
  }

  async rollback(path: PathLike, moment: AtLike, options: RollbackOptions = {}): Promise<RollbackOutcome> {
    return this.#forks.rollback(path, moment, options);
  }

  log(path: PathLike, options: CallOptions = {}): AsyncIterable<LogRow> {
    return logPath(this.metadata, path, options);
  }

  async revert(path: PathLike, generation: Generation | number, options: RevertOptions = {}): Promise<RevertOutcome> {
    return this.#forks.revert(path, generation, options);
  }

  async undelete(path: PathLike, options: UndeleteOptions = {}): Promise<NodeOutcome> {
    return this.#forks.undelete(path, options);
  }

  prune(path: PathLike, options: PruneOptions = {}): AsyncIterable<Pruned> {
    return prunePath(this.metadata, this.#commits, path, options);
  }

  watch(path: PathLike, options: WatchOptions = {}): Watch {
    return watchPath(this.#context, pathBytes(path), options);
  }

  changes(path: PathLike, options: PastChangesOptions = {}): AsyncIterable<WatchEvent> {
    return pastChanges(this.#context, pathBytes(path), options);
  }

  async blocks(): Promise<BlockStore> {
    return this.#context.store;
  }

  openSession(options: SessionOptions = {}): Promise<ClientSession> {
    return openSession(this.#context, options);
  }

  async *sessions(options: CallOptions = {}): AsyncGenerator<SessionCard> {
    let after: SessionId | undefined;
    // Ends at the last page; each page begins after the last session of the one before.
    for (;;) {
      const args = { limit: SESSIONS_LIMIT_MAX, ...(after === undefined ? {} : { after }) };
      const page = await this.metadata.read('list-sessions', args, options);
      yield* page.sessions;
      after = page.sessions.at(-1)?.session;
      if (!page.more || after === undefined) return;
    }
  }

  async locks(path: PathLike, options: CallOptions = {}): Promise<readonly LockHolder[]> {
    return (await this.metadata.read('list-locks', { node: at(path) }, options)).locks;
  }

  close(): Promise<void> {
    return this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Turns a path that is refused on the spot into a rejection like every other. */
  async #read<Result>(read: () => Promise<Result>): Promise<Result> {
    return read();
  }
}

function at(path: PathLike): NodeRef & EntryRef & { readonly path: Uint8Array } {
  return { path: pathBytes(path) };
}

function text(path: PathLike): string {
  return typeof path === 'string' ? path : formatName(path);
}

function follow(options: { readonly follow?: boolean | undefined }): { readonly follow?: boolean } {
  return options.follow === undefined ? {} : { follow: options.follow };
}
