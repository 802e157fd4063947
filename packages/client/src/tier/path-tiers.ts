/** `Tiers` over the namespace and the disk cache of a client. */
import { diskBytesOf, entryName, type CachePin, type DiskCache } from '@nokv/object';
import { NokvError, bodySize, formatName, isHole, type Piece } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { AtOption } from '../history.js';
import type { CallOptions } from '../metadata-client.js';
import type { PathLike } from '../nokv-client.js';
import { pathBytes } from '../path/arguments.js';
import { fixedMoment } from '../path/moment.js';
import { ProgressMeter } from '../progress-meter.js';
import { transferSignal } from '../transfer-signal.js';
import type { TierDirectory, TierReport, Tiers, WarmOptions } from './tiers.js';
import { treePlans } from './tree-plans.js';

/** Pieces of one path that are looked at in one call. */
const PIECES_MAX = 1_000_000;
const FETCHES_AT_ONCE = 16;
const LOOKS_AT_ONCE = 32;

/** What lies at a path: each piece once, under its name in the cache. */
interface Surveyed {
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  readonly inlineBytes: number;
  readonly pieces: ReadonlyMap<string, { readonly piece: Piece; readonly path: string }>;
}

export class PathTiers implements Tiers {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  async warm(path: PathLike, options: WarmOptions = {}): Promise<TierReport> {
    const disk = this.#disk();
    const meter = new ProgressMeter(options.onProgress, this.#context.clock);
    const found = await this.#survey(path, options, meter);
    await checkFits(disk, found, await disk.pins.bytesWith([...found.pieces.keys()], nowhere));
    return await this.#fill(disk, found, meter, options);
  }

  async pin(path: PathLike, options: WarmOptions = {}): Promise<TierReport> {
    const disk = this.#disk();
    const meter = new ProgressMeter(options.onProgress, this.#context.clock);
    const found = await this.#survey(path, options, meter);
    const namespace = await this.#namespace(options);
    const pin: CachePin = {
      namespace,
      path: found.path,
      files: found.files,
      bytes: found.bytes,
      pinnedAtMs: this.#context.clock.nowMs(),
      entries: [...found.pieces.keys()],
    };
    await checkFits(disk, found, await disk.pins.bytesWith(pin.entries, pin));
    const before = await disk.pins.find(namespace, found.path);
    // The pin first: what it names is safe from the moment that it is there.
    await disk.pins.set(pin);
    try {
      return await this.#fill(disk, found, meter, options);
    } catch (error) {
      if (before === undefined) await disk.pins.delete(pin);
      else await disk.pins.set(before);
      throw error;
    }
  }

  async unpin(path: PathLike, options: CallOptions = {}): Promise<void> {
    const disk = this.#disk();
    const name = formatName(pathBytes(path));
    if (await disk.pins.delete({ namespace: await this.#namespace(options), path: name })) return;
    throw new NokvError('not-found', `${name}: is not pinned in ${disk.directory}; "nokv tier status" lists what is`);
  }

  async evict(path: PathLike, options: CallOptions & AtOption = {}): Promise<TierReport & { readonly evictedBytes: number }> {
    const disk = this.#disk();
    const found = await this.#survey(path, options);
    const pinned = await disk.pins.names();
    const loose = [...found.pieces].filter(([name]) => !pinned.has(name)).map(([, { piece }]) => piece);
    const before = await this.#report(disk, found, 0);
    await disk.remove(loose);
    const after = await this.#report(disk, found, 0);
    return { ...after, evictedBytes: before.cachedBytes - after.cachedBytes };
  }

  async status(path: PathLike, options: CallOptions & AtOption = {}): Promise<TierReport> {
    const disk = this.#disk();
    return await this.#report(disk, await this.#survey(path, options), 0);
  }

  async directory(): Promise<TierDirectory> {
    const disk = this.#disk();
    const pins = await disk.pins.list();
    return {
      directory: disk.directory,
      bytesMax: disk.bytesMax,
      ...(await disk.measure()),
      pinnedBytes: diskBytesOf(await disk.pins.names()),
      pins: pins.map(({ path, files, bytes, pinnedAtMs }) => ({ path, files, bytes, pinnedAtMs })),
    };
  }

  #disk(): DiskCache {
    const { disk } = this.#context;
    if (disk === undefined)
      throw new NokvError(
        'unsupported',
        'this client has no disk cache; give it a directory (--cache-dir, NOKV_CACHE_DIR, or cache.directory)',
      );
    return disk;
  }

  /** The store's name where the server tells it: one directory may serve clients of several. */
  async #namespace(options: CallOptions): Promise<string> {
    const { ways } = await this.#context.access({ signal: options.signal });
    return ways.flatMap((way) => ('marker' in way ? [way.marker] : []))[0] ?? '';
  }

  async #survey(path: PathLike, options: CallOptions & AtOption, meter?: ProgressMeter): Promise<Surveyed> {
    const { metadata } = this.#context;
    const root = pathBytes(path);
    const at = await fixedMoment(metadata, options.at, options);
    const pieces = new Map<string, { readonly piece: Piece; readonly path: string }>();
    let [files, bytes, inlineBytes] = [0, 0, 0];
    meter?.phase('scan');
    for await (const { path: file, plan } of treePlans(metadata, root, at, options)) {
      const { body } = plan;
      files += 1;
      bytes += bodySize(body);
      meter?.add(1, bodySize(body));
      if (body.kind === 'inline') {
        inlineBytes += body.bytes.length;
        continue;
      }
      const name = formatName(file);
      for (const extent of body.manifest.extents) if (!isHole(extent)) pieces.set(entryName(extent), { piece: extent, path: name });
      if (pieces.size > PIECES_MAX)
        throw new NokvError('too-large', `${formatName(root)}: holds more than ${PIECES_MAX} pieces; name parts of it`);
    }
    return { path: formatName(root), files, bytes, inlineBytes, pieces };
  }

  async #fill(disk: DiskCache, found: Surveyed, meter: ProgressMeter, options: WarmOptions): Promise<TierReport> {
    const total = blockBytesOf(found);
    const transfer = transferSignal(this.#context.clock, options);
    meter.bytes = 0;
    meter.phase('transfer', { files: found.files, bytes: total });
    let pieces = found.pieces.values();
    let fetchedBytes = 0;
    let hasFailed = false;
    const worker = async (): Promise<void> => {
      for (const { piece, path } of pieces) {
        if (hasFailed) return;
        const isFetched = await this.#context.reader.warm(piece, { path, signal: transfer.signal });
        if (isFetched) fetchedBytes += piece.length;
        meter.add(0, piece.length);
      }
    };
    const mark = (error: unknown): never => {
      hasFailed = true;
      throw error;
    };
    const pass = async (): Promise<TierReport> => {
      pieces = found.pieces.values();
      await Promise.all(Array.from({ length: FETCHES_AT_ONCE }, () => worker().catch(mark)));
      await disk.settle();
      return await this.#report(disk, found, fetchedBytes);
    };
    let report: TierReport;
    try {
      report = await pass();
      // Writes of other readers may have taken the room for a moment.
      if (report.cachedBytes < report.blockBytes && disk.figures.problem === undefined) report = await pass();
    } finally {
      transfer.stop();
    }
    if (report.cachedBytes < report.blockBytes) {
      const reason = disk.figures.problem ?? 'other readers filled it meanwhile';
      throw new NokvError(
        'no-space',
        `${found.path}: ${report.cachedBytes} of ${report.blockBytes} bytes came to be in the cache ${disk.directory}: ${reason}`,
        { details: { cachedBytes: report.cachedBytes, blockBytes: report.blockBytes } },
      );
    }
    meter.phase('done');
    return report;
  }

  async #report(disk: DiskCache, found: Surveyed, fetchedBytes: number): Promise<TierReport> {
    const pinned = await disk.pins.names();
    let [cachedBytes, pinnedBytes] = [0, 0];
    const rows = found.pieces.entries();
    const worker = async (): Promise<void> => {
      for (const [name, { piece }] of rows) {
        if (await disk.has(piece)) cachedBytes += piece.length;
        if (pinned.has(name)) pinnedBytes += piece.length;
      }
    };
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, worker));
    const { files, bytes, inlineBytes } = found;
    return { files, bytes, inlineBytes, blockBytes: blockBytesOf(found), cachedBytes, pinnedBytes, fetchedBytes };
  }
}

/** No path has this name. */
const nowhere = { namespace: '', path: '' };

/** Together with all that is pinned, each entry counted once. */
async function checkFits(disk: DiskCache, { path }: Surveyed, bytes: number): Promise<void> {
  if (bytes <= disk.bytesMax) return;
  const pinned = diskBytesOf(await disk.pins.names());
  throw new NokvError(
    'quota-exceeded',
    `${path}: does not fit: with what is pinned (${pinned} bytes) the cache ${disk.directory} would hold ${bytes} bytes, and may hold ${disk.bytesMax}; ` +
      'raise --cache-size, or unpin something',
    { details: { bytes, pinnedBytes: pinned, bytesMax: disk.bytesMax } },
  );
}

function blockBytesOf({ pieces }: Surveyed): number {
  let bytes = 0;
  for (const { piece } of pieces.values()) bytes += piece.length;
  return bytes;
}
