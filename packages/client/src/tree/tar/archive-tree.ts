/** A directory or file as a tar archive, in constant memory but for the names of files with several names. */
import { formatName, type InodeNumber, type NodeCard, type NodeRef, type ReadPlan } from '@nokv/types';
import { handleOf } from '../../body/open-body.js';
import type { ClientContext } from '../../client-context.js';
import { fixedMoment } from '../../path/moment.js';
import { ProgressMeter } from '../../progress-meter.js';
import { transferSignal } from '../../transfer-signal.js';
import type { ArchiveOptions } from '../../trees.js';
import { LARGE_FILE_BYTES_MIN } from '../transfer-jobs.js';
import { pathFilter, type PathFilter } from '../path-filter.js';
import { RemoteTree, type RemoteEntry } from '../remote-tree.js';
import { END_OF_ARCHIVE, encodeHeader, padding, type TarEntry } from './tar-header.js';

const NO_BYTES = new Uint8Array(0);

/** Chunks are borrowed until the next one is asked for. @param name of the entry, where a single file is archived. */
export async function* archiveTree(
  context: ClientContext,
  from: NodeRef,
  name: Uint8Array,
  options: ArchiveOptions,
): AsyncGenerator<Uint8Array> {
  const filter = pathFilter(options);
  const transfer = transferSignal(context.clock, options);
  const { signal } = transfer;
  try {
    const at = await fixedMoment(context.metadata, options.at, { signal });
    const card = await context.metadata.read('stat', { node: from, ...(at === undefined ? {} : { at }) }, { signal });
    const tree = new RemoteTree(context, signal, at);
    const writing = new ArchiveWriter(context, tree, filter, signal, options);
    if (card.type === 'directory') yield* writing.directory(card);
    else {
      writing.meter.phase('transfer', { files: 1, bytes: card.size });
      yield* writing.entry({ name, card }, Buffer.from(name), undefined);
    }
    yield END_OF_ARCHIVE;
    writing.meter.phase('done');
  } finally {
    transfer.stop();
  }
}

class ArchiveWriter {
  readonly meter: ProgressMeter;
  readonly #context: ClientContext;
  readonly #tree: RemoteTree;
  readonly #filter: PathFilter | undefined;
  readonly #signal: AbortSignal;
  readonly #onSkip: ArchiveOptions['onSkip'];
  /** Where a file with several names stands in the archive. */
  readonly #linked = new Map<InodeNumber, Buffer>();

  constructor(context: ClientContext, tree: RemoteTree, filter: PathFilter | undefined, signal: AbortSignal, options: ArchiveOptions) {
    this.#context = context;
    this.#tree = tree;
    this.#filter = filter;
    this.#signal = signal;
    this.#onSkip = options.onSkip;
    this.meter = new ProgressMeter(options.onProgress, context.clock);
    this.meter.phase('scan');
  }

  async *directory(root: NodeCard): AsyncGenerator<Uint8Array> {
    this.meter.phase('transfer', this.meter.isHeard ? await this.#tree.totals(root.ino, this.#filter) : {});
    // Directories are held on a stack, those of one page in the order of their names; depth first, as tar(1) would.
    const pending: { readonly card: NodeCard; readonly path: Buffer }[] = [{ card: root, path: Buffer.from('./') }];
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      const { path, card } = directory;
      yield await this.#header('directory', path, card);
      this.meter.add(1, 0);
      const below: { readonly card: NodeCard; readonly path: Buffer }[] = [];
      for await (const page of this.#tree.entriesOf(card.ino)) {
        const entries = page.map((entry) => ({ ...entry, path: Buffer.concat([path, entry.name]) })).filter((entry) => this.#takes(entry));
        const plans = await this.#plans(entries);
        for (const entry of entries) {
          if (entry.card.type === 'directory') below.push({ card: entry.card, path: Buffer.concat([entry.path, Buffer.from('/')]) });
          else yield* this.entry(entry, entry.path, plans.get(entry.card.ino));
        }
      }
      pending.push(...below.toReversed());
    }
  }

  async *entry({ card }: RemoteEntry, path: Buffer, known: ReadPlan | undefined): AsyncGenerator<Uint8Array> {
    const first = card.nlink > 1 ? this.#linked.get(card.ino) : undefined;
    if (first !== undefined) {
      yield await this.#header('link', path, card, { target: first });
      this.meter.add(1, card.type === 'file' ? card.size : 0);
      return;
    }
    if (card.nlink > 1) this.#linked.set(card.ino, path);
    if (card.type === 'socket') {
      this.#onSkip?.({ path: formatName(path), reason: 'an archive holds no sockets' });
    } else if (card.type === 'file') {
      const plan = known ?? (await this.#tree.plan(card.ino));
      const { attributes } = plan;
      // The attributes that belong to this body: the file may have been published since it was listed.
      yield await this.#header('file', path, { ...card, ...attributes }, { size: attributes.size });
      for await (const chunk of handleOf(this.#context, plan).stream({ reuse: true, signal: this.#signal })) {
        yield chunk;
        this.meter.add(0, chunk.length);
      }
      yield padding(attributes.size);
    } else yield await this.#header(card.type, path, card, { target: card.target ?? NO_BYTES });
    this.meter.add(1, 0);
  }

  /** Of small files, many in a call; large ones are asked for when it is their turn. */
  async #plans(entries: readonly RemoteEntry[]): Promise<ReadonlyMap<InodeNumber, ReadPlan>> {
    const small = entries.filter(({ card }) => card.type === 'file' && card.size < LARGE_FILE_BYTES_MIN && !this.#linked.has(card.ino));
    const plans = new Map<InodeNumber, ReadPlan>();
    if (small.length === 0) return plans;
    const inodes = small.map(({ card }) => card.ino);
    for (const plan of await this.#tree.plans(inodes)) if (plan !== undefined) plans.set(plan.attributes.ino, plan);
    return plans;
  }

  async #header(
    type: TarEntry['type'],
    path: Buffer,
    card: NodeCard,
    { target = NO_BYTES, size = 0 }: { readonly target?: Uint8Array; readonly size?: number } = {},
  ): Promise<Uint8Array> {
    const xattrs = type === 'link' || card.xattrs.length === 0 ? [] : await this.#tree.xattrs(card);
    const { mode, uid, gid, mtime, rdev } = card;
    return encodeHeader({ type, path, target, mode, owner: { uid, gid }, size, mtime, rdev, xattrs });
  }

  #takes({ path, card }: RemoteEntry & { readonly path: Buffer }): boolean {
    return this.#filter?.takes(formatName(path.subarray('./'.length)), card.type === 'directory') !== false;
  }
}
