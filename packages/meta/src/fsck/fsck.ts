/**
 * A check of a whole shard while it serves: pass after pass over a stable state of the rows, in slices that let others have their
 * turn, with findings as they are made and a cursor to go on from after a break.
 *
 * Each pass reads a state of its own, so that no old state is held for long, and needs memory that does not grow with the shard.
 * Mending goes through commands of the shard's pipeline, which look again before they write.
 */
import {
  FSCK_PASSES,
  NokvError,
  assert,
  formatName,
  joinPath,
  toNokvError,
  type FsckFinding,
  type FsckItem,
  type FsckPass,
  type FsckRepair,
  type InodeNumber,
} from '@nokv/types';
import type { RepairFix } from '../command.js';
import { FAMILY, keyAfter, numberEnd, numberStart } from '../key.js';
import type { KvSnapshot, OrderedKv } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';
import { copyBytes } from '../row-writer.js';
import type { BlockInventory } from './block-inventory.js';
import { checkBlocks } from './check-blocks.js';
import { checkChecksums } from './check-checksums.js';
import { FsckContext } from './context.js';
import { ROW_PASSES } from './passes.js';
import type { Problem } from './problem.js';

export interface FsckParts {
  readonly kv: OrderedKv;
  /** Inodes that no entry leads to by design: the root first. */
  readonly roots: readonly InodeNumber[];
  readonly nowMs: () => number;
  /** Inodes in the shard, about: for the progress. */
  readonly inodes: number;
  /**
   * False where a log is the truth and these rows a copy of it: what corrects a count by a difference would put the copies of others
   * wrong, where it is replayed.
   */
  readonly mayShift: boolean;
  /** Writes a fix durably; rejects where it does not apply any more. */
  readonly repair: (fix: RepairFix) => Promise<unknown>;
  /** Lets everybody else have their turn. */
  readonly pause: () => Promise<void>;
}

export interface FsckOptions {
  /** `drop` also takes away what leads nowhere: entries of missing inodes, objects that nobody knows. */
  readonly repair: 'none' | 'safe' | 'drop';
  readonly checksums: boolean;
  readonly resume?: string | undefined;
  /** Where the blocks are; without it they are not looked at. */
  readonly blocks?: BlockInventory | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Steps = Generator<Uint8Array | undefined> | AsyncGenerator<Uint8Array | undefined>;

/** About 3 ms of work: what anybody else waits at most. */
const SLICE_ROWS = 256;
const PROGRESS_ROWS = 20_000;
/** Rows that all passes look at, for each inode; only for the progress. */
const ROWS_AN_INODE = 9;
const PATH_DEPTH_MAX = 1024;

export async function* fsck(parts: FsckParts, options: FsckOptions): AsyncGenerator<FsckItem, void> {
  const run = new Run(parts, options);
  const start = parseCursor(options.resume);
  try {
    for (const name of FSCK_PASSES.slice(FSCK_PASSES.indexOf(start.pass))) {
      if (!run.wants(name)) continue;
      yield* run.pass(name, name === start.pass ? start.key : undefined);
    }
    yield { kind: 'done', rows: run.rows, findings: run.findings, repaired: run.repaired };
  } finally {
    run.end();
  }
}

const SHIFTS: ReadonlySet<RepairFix['kind']> = new Set<RepairFix['kind']>(['counters', 'references']);

class Run {
  readonly #parts: FsckParts;
  readonly #options: FsckOptions;
  readonly #context: FsckContext;
  #snapshot: KvSnapshot;
  /** Where a later check has to begin, since suspects found there still have to be counted. */
  #heldCursor: string | undefined;
  #nextProgress = 0;
  rows = 0;
  findings = 0;
  repaired = 0;

  constructor(parts: FsckParts, options: FsckOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#snapshot = parts.kv.snapshot();
    this.#context = new FsckContext(this.#snapshot, parts.kv, parts.roots, parts.nowMs);
  }

  wants(pass: FsckPass): boolean {
    if (pass === 'blocks') return this.#options.blocks !== undefined;
    return pass !== 'checksums' || (this.#options.checksums && this.#options.blocks !== undefined);
  }

  async *pass(name: FsckPass, from: Uint8Array | undefined): AsyncGenerator<FsckItem, void> {
    await this.#parts.pause();
    this.#options.signal?.throwIfAborted();
    this.#renewSnapshot();
    yield this.#progress(name, this.#heldCursor ?? formatCursor(name, from));
    const steps = this.#steps(name, from);
    try {
      yield* this.#walk(name, from, steps);
    } finally {
      // Lets go of the rows that it is at, when the check is broken off.
      await steps.return(undefined);
    }
    for (const problem of this.#context.problems.splice(0)) yield await this.#settle(problem);
    if (name === 'names') this.#heldCursor = undefined;
  }

  async *#walk(name: FsckPass, from: Uint8Array | undefined, steps: Steps): AsyncGenerator<FsckItem, void> {
    let cursor = formatCursor(name, from);
    let inSlice = 0;
    let at: Uint8Array | undefined;
    // Passes over rows step without a promise each: there are millions of steps.
    for (;;) {
      const next = steps.next();
      const step = next instanceof Promise ? await next : next;
      if (step.done === true) break;
      this.rows += 1;
      inSlice += 1;
      if (step.value !== undefined) at = step.value;
      const context = this.#context;
      if (context.suspects.size > 0) this.#heldCursor ??= formatCursor(name, from);
      if (context.problems.length === 0 && inSlice < SLICE_ROWS) continue;
      for (const problem of context.problems.splice(0)) yield await this.#settle(problem);
      if (inSlice < SLICE_ROWS) continue;
      inSlice = 0;
      if (at !== undefined) cursor = formatCursor(name, keyAfter(at));
      await this.#parts.pause();
      this.#options.signal?.throwIfAborted();
      if (this.rows >= this.#nextProgress) yield this.#progress(name, this.#heldCursor ?? cursor);
    }
  }

  end(): void {
    this.#snapshot.release();
  }

  #steps(name: FsckPass, from: Uint8Array | undefined): Steps {
    const { blocks, signal } = this.#options;
    if (name === 'blocks' && blocks !== undefined) return checkBlocks(this.#context, blocks, from, signal);
    if (name === 'checksums' && blocks !== undefined) return checkChecksums(this.#context, blocks, from, signal);
    const pass = ROW_PASSES.find((each) => each.name === name);
    assert(pass !== undefined, `there is a pass ${name}`);
    return pass.run(this.#context, from);
  }

  #renewSnapshot(): void {
    this.#snapshot.release();
    this.#snapshot = this.#parts.kv.snapshot();
    this.#context.kv = this.#snapshot;
  }

  #progress(pass: FsckPass, cursor: string): FsckItem {
    this.#nextProgress = this.rows + PROGRESS_ROWS;
    const rowsTotal = Math.max(this.rows, this.#parts.inodes * ROWS_AN_INODE);
    return { kind: 'progress', pass, rows: this.rows, rowsTotal, cursor };
  }

  async #settle(problem: Problem): Promise<FsckItem> {
    const { severity, class: kind, where, expected, found, ino } = problem;
    this.findings += 1;
    const path = ino === undefined ? undefined : pathOf(this.#context, ino);
    const repair = await this.#mend(problem);
    if (repair === 'done') this.repaired += 1;
    const finding: FsckFinding = { severity, class: kind, where, ...(path === undefined ? {} : { path }), expected, found, repair };
    return { kind: 'finding', ...finding };
  }

  async #mend({ fix, drops, remove }: Problem): Promise<FsckRepair> {
    if (fix === undefined && remove === undefined) return 'none';
    if (fix !== undefined && SHIFTS.has(fix.kind) && !this.#parts.mayShift) return 'none';
    const { repair } = this.#options;
    if (repair === 'none' || (drops === true && repair !== 'drop')) return 'possible';
    try {
      if (fix !== undefined) await this.#parts.repair(fix);
      if (remove !== undefined) await this.#options.blocks?.remove(remove);
      return 'done';
    } catch (error) {
      const { kind } = toNokvError(error);
      // What changed meanwhile is for the next check; a shard that cannot write ends this one.
      if (kind === 'conflict' || kind === 'corrupt' || kind === 'invalid' || kind === 'not-found') return 'failed';
      throw error;
    }
  }
}

/** Absent where no way down from the root is left. */
function pathOf(context: FsckContext, ino: InodeNumber): string | undefined {
  const [root] = context.roots;
  const names: Uint8Array[] = [];
  let at = ino;
  while (at !== root) {
    const inode = context.inode(at);
    if (inode === undefined || names.length === PATH_DEPTH_MAX) return undefined;
    const place = inode.parent === 0 ? firstLink(context, at) : inode;
    if (place === undefined) return undefined;
    names.push(place.name);
    at = place.parent;
  }
  return formatName(joinPath(names.reverse()));
}

function firstLink(context: FsckContext, ino: InodeNumber): { readonly parent: InodeNumber; readonly name: Uint8Array } | undefined {
  for (const { key } of context.kv.range(numberStart(FAMILY.link, ino), numberEnd(FAMILY.link, ino), { limit: 1 })) {
    return { parent: readU64(key, 9) as InodeNumber, name: copyBytes(key, 17, key.length) };
  }
  return undefined;
}

function formatCursor(pass: FsckPass, key: Uint8Array | undefined): string {
  return key === undefined ? pass : `${pass}.${Buffer.from(key).toString('hex')}`;
}

function parseCursor(cursor: string | undefined): { readonly pass: FsckPass; readonly key: Uint8Array | undefined } {
  if (cursor === undefined) return { pass: FSCK_PASSES[0] as FsckPass, key: undefined };
  const [name, hex, ...rest] = cursor.split('.');
  const pass = FSCK_PASSES.find((each) => each === name);
  const isKey = hex === undefined || /^([0-9a-f]{2}){1,320}$/.test(hex);
  if (pass === undefined || !isKey || rest.length > 0) {
    throw new NokvError(
      'invalid-argument',
      `expected the cursor that an earlier check printed, found ${JSON.stringify(cursor.slice(0, 100))}`,
    );
  }
  return { pass, key: hex === undefined ? undefined : Buffer.from(hex, 'hex') };
}
