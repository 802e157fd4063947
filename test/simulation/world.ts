/**
 * A whole small world under one seed: a server's process over simulated ports, callers, watchers, background work, crashes.
 * `simulate` runs it, winds it down without further faults, and says what was violated.
 */
import { recoverShard, stateDigest, type ImagePolicy, type LogWindow, type Retention } from '@nokv/meta';
import { commandsOfSegment, contradictions, uploadsInBodies } from '@nokv/meta/testing';
import { ID_RANDOM_BYTES, epoch, makeUploadId, toNokvError, type UploadId } from '@nokv/types';
import { Caller, isEnvironment } from './caller.js';
import type { DeliberateBug } from './deliberate-bugs.js';
import { difference, modelTree, shardTreeAt, shardTreeNow, type AskAndWait, type BlockText } from './namespace.js';
import { drawTaste, type HeldSnapshot } from './operations.js';
import { Oracle } from './oracle.js';
import { SHARD, SimProcess } from './process.js';
import { Scheduler, settled, type Choice } from './scheduler.js';
import { SeededRandom } from './seeded-random.js';
import { SimClock, SimTime } from './sim-clock.js';
import { SimKv, type KvObserver } from './sim-kv.js';
import { SimLogStore } from './sim-log-store.js';
import { SimStore, blockId } from './sim-store.js';
import { Watcher, listen } from './watcher.js';

export interface SimulationOptions {
  readonly seed: number;
  /** Choices before everything winds down (default 300). */
  readonly steps?: number;
  readonly bug?: DeliberateBug;
  /** Default: the seed decides. */
  readonly durability?: 'local' | 'shared';
}

export interface SimulationResult {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly trace: readonly string[];
  /** Of the whole trace: equal for equal seeds. */
  readonly digest: string;
  readonly counts: Readonly<
    Record<'steps' | 'commits' | 'checks' | 'crashes' | 'failures' | 'blocksRemoved' | 'images' | 'fenced' | 'strays', number>
  >;
}

const STEPS_DEFAULT = 300;
/** More than any world needs to come to rest. */
const STEPS_AT_REST_MAX = 20_000;
const DAY_MS = 24 * 3600 * 1000;

interface Shared {
  readonly store: SimLogStore;
  epoch: number;
  hasBeenServed: boolean;
  /** An image is being written, or old ones are being removed. */
  isAtWork: boolean;
}

/** How often what happens; each seed is of another kind. */
interface Weather {
  readonly crash: number;
  readonly takeOver: number;
  readonly close: number;
  readonly failCommit: number;
  readonly failFlush: number;
  readonly maintain: number;
  readonly sweepStore: number;
}

const UNOBSERVED: KvObserver = {
  handedOver: () => undefined,
  applied: () => undefined,
  flushed: () => undefined,
  lost: () => undefined,
};

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const world = new World(options);
  // Refusals are answers here, by the thousand: their stacks would cost more than all else.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    await world.run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  const { scheduler, oracle, counts } = world;
  const { commits, checks } = oracle;
  return {
    seed: options.seed,
    violations: oracle.violations,
    trace: scheduler.trace,
    digest: scheduler.digest,
    counts: { ...counts, commits, checks },
  };
}

export class World {
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly time: SimTime;
  readonly store: SimStore;
  process: SimProcess;
  /** The owner before, which does not know yet that another took over. */
  earlier: SimProcess | undefined;
  /** Where bodies in blocks were put lately: what is read while it is replaced. */
  readonly blockPaths: string[] = [];
  /** Made and not retired. */
  readonly snapshots: HeldSnapshot[] = [];
  isWindingDown = false;
  readonly counts = { steps: 0, crashes: 0, failures: 0, blocksRemoved: 0, images: 0, fenced: 0, strays: 0 };
  readonly #random: SeededRandom;
  readonly #options: SimulationOptions;
  readonly #weather: Weather;
  readonly #retention: Retention;
  readonly #window: Partial<LogWindow>;
  readonly #blockTexts = new Map<string, string>();
  readonly #lost: (readonly [number, number])[] = [];
  readonly #watchers: Watcher[] = [];
  #isMaintaining = false;
  #isSweeping = false;
  #running = 0;
  /** The shared log, where this world has one. */
  readonly #shared: Shared | undefined;
  readonly #images: Partial<ImagePolicy>;
  readonly #orphanGraceMs: number;

  constructor(options: SimulationOptions) {
    const random = new SeededRandom(options.seed);
    this.#random = random;
    this.#options = options;
    this.scheduler = new Scheduler(random.fork());
    const durability = options.durability ?? options.bug?.durability ?? (random.chance(0.4) ? 'shared' : 'local');
    if (durability === 'shared') {
      this.#shared = { store: new SimLogStore(random.fork()), epoch: 0, hasBeenServed: false, isAtWork: false };
    }
    // To check all rows costs more than all else: some seeds do it after each commit, the others now and then, and after each crash.
    this.oracle = new Oracle((line) => this.scheduler.note(line), options.seed % 5 === 0 ? 1 : 7, this.#shared !== undefined);
    this.time = new SimTime(random.fork());
    this.store = new SimStore(random.fork());
    const often = (chance: number, weight: number): number => (random.chance(chance) ? weight * random.float() : 0);
    this.#weather = {
      crash: often(0.8, 1.6),
      takeOver: often(0.7, 1),
      close: often(0.3, 0.6),
      failCommit: often(0.4, 0.8),
      failFlush: often(0.2, 0.3),
      maintain: 0.5 + often(0.7, 6),
      sweepStore: often(0.6, 2),
    };
    this.#retention = {
      bodyMs: random.pick([0, 1000, 60_000, DAY_MS]),
      bodiesKept: random.pick([0, 1]),
      uploadMs: random.pick([60_000, 600_000]),
      extentMs: random.pick([60_000, 600_000]),
    };
    this.#orphanGraceMs = random.pick([0, 60_000, DAY_MS]);
    const requestMs = random.pick([600_000, 3_600_000]);
    this.#window = random.chance(0.5) ? {} : { requestMs, changeMs: requestMs * random.pick([1, 4]) };
    this.#images = { logSegments: 3 + random.below(30), imagesKept: 1 + random.below(2), retentionMs: random.pick([60_000, 600_000]) };
    this.process = new SimProcess(new SimKv(this.oracle, random.fork()), this.time);
    this.store.onRemoval = (upload) => {
      this.counts.blocksRemoved += 1;
      const { kv } = this.process;
      this.oracle.removing(upload, kv.durable, kv.uncertain, this.time.ms);
    };
    for (const source of [this.time, this.store]) this.scheduler.addSource(() => source.choices());
    const shared = this.#shared;
    if (shared !== undefined) {
      // Each leap beyond the time for an append ends an owner: they are to be rarer.
      this.time.leapWeight = 0.4;
      this.scheduler.addSource(() => shared.store.choices());
      this.oracle.isWhole = () => this.process.engine !== undefined;
      shared.store.onCreated = (key, bytes) => {
        const sequence = /\/log\/(\d+)$/.exec(key)?.[1];
        if (sequence !== undefined) this.oracle.appended(Number(sequence), commandsOfSegment(key, bytes));
      };
    }
    this.scheduler.addSource(() => this.process.kv.choices());
    this.scheduler.addSource(() => this.earlier?.kv.choices() ?? []);
    this.scheduler.addSource(() => this.#choices());
  }

  turn(name: string, weight?: number): Promise<void> {
    return this.scheduler.turn(name, weight);
  }

  /** How long the blocks of a read plan stay, whatever becomes of the file. */
  get graceMs(): number {
    return this.#retention.extentMs;
  }

  readonly blockText: BlockText = (upload, index) => this.#blockTexts.get(blockId(upload, index)) ?? '(unknown block)';

  rememberBlock(upload: UploadId, index: number, text: string): void {
    this.#blockTexts.set(blockId(upload, index), text);
  }

  /** Whether the engine said that this version, once visible, will never be durable. */
  isLost(version: number): boolean {
    return this.#lost.some(([first, last]) => version >= first && version <= last);
  }

  async run(): Promise<void> {
    const { scheduler, oracle } = this;
    const random = this.#random;
    this.#start();
    const taste = drawTaste(random);
    const callers = Array.from({ length: 2 + random.below(4) }, (_, i) => new Caller(this, `c${i}`, random.fork(), taste));
    this.#watchers.push(...['w0', 'w1'].map((name) => new Watcher(this, name, random.fork())));
    for (const actor of [...callers, ...this.#watchers]) this.#run(actor);
    const steps = this.#options.steps ?? STEPS_DEFAULT;
    while (this.counts.steps < steps && oracle.violations.length === 0) await this.#step();
    if (oracle.violations.length > 0) return;
    await this.#windDown();
    if (oracle.violations.length > 0) return;
    await this.#checkAtRest();
    scheduler.note(`ends with ${oracle.violations.length} violations`);
  }

  #run(actor: Caller | Watcher): void {
    this.#running += 1;
    const ended = (): void => void (this.#running -= 1);
    actor.run().then(ended, (error: unknown) => {
      ended();
      this.oracle.violate(`an actor ended: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
  }

  async #step(): Promise<void> {
    this.counts.steps += 1;
    const { process } = this;
    if (process.failure !== undefined) {
      this.counts.failures += 1;
      this.#crash();
    }
    if (this.earlier?.failure !== undefined) {
      this.counts.fenced += 1;
      this.#stopEarlier();
    }
    const { crash, failCommit, failFlush } = this.#weather;
    this.process.kv.faults = this.isWindingDown ? { failCommit: 0, failFlush: 0 } : { failCommit, failFlush };
    if (!this.isWindingDown && crash > 0 && this.#random.chance(crash / 100)) this.#crash();
    else await this.scheduler.step();
    if (this.#random.chance(0.08)) this.#compareTrees();
  }

  #choices(): readonly Choice[] {
    const choices: Choice[] = [];
    if (this.earlier !== undefined) choices.push({ name: 'the earlier owner stops', weight: 0.2, run: () => this.#stopEarlier() });
    const { engine } = this.process;
    if (engine === undefined) return choices;
    if (!this.isWindingDown && this.#shared !== undefined && this.earlier === undefined) {
      choices.push({ name: 'another node takes over', weight: this.#weather.takeOver, run: () => this.#takeOver() });
    }
    if (!this.#isMaintaining) choices.push({ name: 'background work', weight: this.#weather.maintain, run: () => void this.#maintain() });
    if (!this.#isSweeping && !this.isWindingDown) {
      choices.push({ name: 'sweep of the store', weight: this.#weather.sweepStore, run: () => void this.#sweepStore(this.#orphanGraceMs) });
    }
    if (this.#shared?.isAtWork === false) choices.push({ name: 'image work', weight: 1, run: () => void this.#keepImages() });
    if (!this.isWindingDown && this.#weather.close > 0) {
      choices.push({ name: 'orderly stop', weight: this.#weather.close / 3, run: () => void this.#close() });
    }
    return choices;
  }

  #start(): void {
    const { process } = this;
    const shared = this.#shared;
    if (shared !== undefined) shared.epoch += 1;
    const opening = process.open({ retention: this.#retention, window: this.#window }, this.#random.fork(), {
      bug: this.#options.bug,
      shared: shared === undefined ? undefined : { ...shared, epoch: epoch(shared.epoch), images: this.#images },
    });
    this.scheduler.note('  the server starts');
    opening.then(
      () => this.#opened(process),
      (error: unknown) => {
        if (process !== this.process) return;
        const found = toNokvError(error);
        // A disk that fails while the server starts ends it; the next start tries again.
        if (
          isEnvironment(found) ||
          found.code === 'store-unavailable' ||
          found.code === 'deadline-exceeded' ||
          found.message.includes('EIO')
        )
          process.failure = found;
        else this.oracle.violate(`the shard does not open: ${found.message}`);
      },
    );
  }

  #opened(process: SimProcess): void {
    const { engine } = process;
    if (process !== this.process || engine === undefined) return;
    if (this.#shared !== undefined) this.#shared.hasBeenServed = true;
    const found = contradictions(process.kv);
    if (found.length > 0) this.oracle.violate(`a server begins with rows that contradict: ${found.slice(0, 3).join('; ')}`);
    this.scheduler.note(`  the server serves from version ${engine.durableVersion}`);
    engine.onLost((first, last) => {
      this.#lost.push([first, last]);
      this.oracle.abandoned(first, last);
    });
    listen(this, engine, this.oracle.durableVersion);
    this.#compareTrees();
  }

  /** The machine stops between two steps: what was not flushed is there or not, whoever waits hears nothing. */
  #crash(): void {
    this.counts.crashes += 1;
    const survivor = this.process.kv.crash();
    // With a shared log another node may take over, which has nothing.
    const isMoved = this.#shared !== undefined && this.#random.chance(0.4);
    this.scheduler.note(`${this.scheduler.trace.length} CRASH${isMoved ? ', another node' : ''}`);
    this.#replace(isMoved ? new SimKv(this.oracle, this.#random.fork()) : survivor);
  }

  /** The owner goes on, alive and cut off from whoever decides: the log alone fences it. */
  #takeOver(): void {
    this.earlier = this.process;
    this.#begin(new SimKv(this.oracle, this.#random.fork()));
  }

  #stopEarlier(): void {
    this.earlier?.kv.crash();
    this.earlier?.die(this.time);
    this.earlier = undefined;
  }

  async #close(): Promise<void> {
    const { process } = this;
    const { engine } = process;
    if (engine === undefined) return;
    process.engine = undefined;
    const answer = await process.hear(engine.close());
    if (answer.kind === 'refused') this.oracle.violate(`an orderly stop failed: ${answer.error.message}`);
    if (answer.kind === 'done' && process === this.process) this.#replace(process.kv.crash());
  }

  #replace(kv: SimKv): void {
    this.process.die(this.time);
    this.#begin(kv);
  }

  #begin(kv: SimKv): void {
    this.oracle.crashed();
    this.#isMaintaining = false;
    this.#isSweeping = false;
    if (this.#shared !== undefined) this.#shared.isAtWork = false;
    this.process = new SimProcess(kv, this.time);
    this.#start();
  }

  async #maintain(): Promise<void> {
    const { process } = this;
    const { engine } = process;
    if (engine === undefined) return;
    this.#isMaintaining = true;
    const answer = await process.hear(engine.maintain((upload) => this.store.removeUpload(upload)));
    if (process !== this.process) return;
    this.#isMaintaining = false;
    if (answer.kind === 'refused' && !isEnvironment(answer.error)) {
      this.oracle.violate(`background work failed: ${answer.error.code}: ${answer.error.message}`);
    }
  }

  /** Looks for blocks that no row knows, and queues them. */
  async #sweepStore(graceMs: number): Promise<void> {
    const { process } = this;
    this.#isSweeping = true;
    // What no row knows: of an upload that another history of the shard had.
    if (this.#random.chance(0.3))
      this.store.blocks.set(blockId(makeUploadId(this.time.ms, this.#random.bytes(ID_RANDOM_BYTES)), 0), 'stray');
    const listed = await process.hear(this.store.listUploads());
    const { engine } = process;
    if (process !== this.process) return;
    if (listed.kind === 'done' && engine !== undefined) {
      const dueMs = this.time.ms + graceMs;
      const sweep = async (): Promise<void> => {
        const strays = engine.unknownUploads(listed.value).map((upload) => ({ upload, dueMs }));
        this.counts.strays += strays.length;
        await engine.adoptStrays(strays);
      };
      const answer = await process.hear(sweep());
      if (process !== this.process) return;
      if (answer.kind === 'refused' && !isEnvironment(answer.error)) {
        this.oracle.violate(`a sweep of the store failed: ${answer.error.code}: ${answer.error.message}`);
      }
    }
    this.#isSweeping = false;
  }

  async #keepImages(): Promise<void> {
    const { process } = this;
    const { images } = process;
    const shared = this.#shared;
    if (images === undefined || shared === undefined) return;
    shared.isAtWork = true;
    const answer = await process.hear(images.turn());
    if (process !== this.process) return;
    shared.isAtWork = false;
    if (answer.kind === 'refused' && !isEnvironment(answer.error) && answer.error.code !== 'store-unavailable') {
      this.oracle.violate(`image work failed: ${answer.error.code}: ${answer.error.message}`);
    }
    if (answer.kind === 'done' && answer.value.written !== undefined) this.counts.images += 1;
  }

  /** What all see now must be what a plain filesystem has after the same requests. */
  #compareTrees(): void {
    const { engine } = this.process;
    if (engine === undefined) return;
    const found = shardTreeNow(engine, this.blockText);
    if (found === undefined) return;
    const version = engine.visibleVersion;
    this.oracle.expectSome(version, version, (model) => difference(found, modelTree(model.root)));
  }

  /** No more faults, no new requests: everything under way ends. */
  async #windDown(): Promise<void> {
    this.scheduler.note('winds down');
    this.isWindingDown = true;
    this.time.isPatient = true;
    this.#stopEarlier();
    this.store.isFaulty = false;
    if (this.#shared !== undefined) this.#shared.store.isFaulty = false;
    const start = this.counts.steps;
    while (this.oracle.violations.length === 0) {
      const isAtRest =
        this.#running === 0 &&
        !this.#isSweeping &&
        this.store.isIdle &&
        this.#shared?.store.isIdle !== false &&
        this.process.engine !== undefined &&
        this.process.kv.uncertain.length === 0;
      if (isAtRest) break;
      if (this.counts.steps - start > STEPS_AT_REST_MAX) return this.oracle.violate('the world does not come to rest');
      await this.#step();
    }
    this.time.leaps = false;
  }

  /** Long after: garbage is gone, nothing else is, watchers have heard everything, and the next start finds it all. */
  async #checkAtRest(): Promise<void> {
    const { oracle } = this;
    this.#compareTrees();
    for (const watcher of this.#watchers) {
      // Ends: each page moves the cursor on.
      while (await this.#whileStepping(watcher.readPage(100)));
      if (oracle.changesBetween(watcher.cursor, Number.MAX_SAFE_INTEGER).length > 0) oracle.violate('a watcher has not heard everything');
    }
    // Due only once the time has moved on, and the time moves when nothing is under way that it would cut off.
    await this.#whileStepping(this.#sweepStore(DAY_MS));
    for (let steps = 0; this.#isMaintaining && steps < STEPS_AT_REST_MAX; steps++) await this.scheduler.step();
    for (let round = 0; round < 6; round++) {
      // An image that takes days to be written is older than it looks.
      for (let steps = 0; this.#shared?.isAtWork === true && steps < STEPS_AT_REST_MAX; steps++) await this.scheduler.step();
      this.time.advance(2 * DAY_MS);
      for (let slices = 0, more = true; more && slices < 200; slices++) more = await this.#slice();
    }
    const { kv } = this.process;
    if (kv.uncertain.length > 0) oracle.violate('commits are under way at rest');
    const named = uploadsInBodies(kv);
    for (const id of this.store.blocks.keys()) {
      const [upload, index] = id.split('/') as [UploadId, string];
      if (!named.has(upload)) oracle.violate(`block ${upload}/${index} is garbage and stays`);
    }
    for (const upload of named) {
      if (oracle.hasRemoved(upload)) oracle.violate(`a body names upload ${upload}, whose blocks are gone`);
    }
    await this.#checkSnapshots();
    await this.#checkRecovery();
    const found = contradictions(kv);
    if (found.length > 0) oracle.violate(`at rest rows contradict: ${found.slice(0, 3).join('; ')}`);
    this.#compareTrees();
  }

  /** A node with nothing comes to the same state from image and log. */
  async #checkRecovery(): Promise<void> {
    const shared = this.#shared;
    if (shared === undefined) return;
    const random = this.#random.fork();
    const kv = new SimKv(UNOBSERVED, random);
    this.scheduler.addSource(() => kv.choices());
    const options = { kv, store: shared.store, shard: SHARD, clock: new SimClock(this.time), random, hasBeenServed: true };
    try {
      await this.#whileStepping(recoverShard({ ...options, bootstrap: () => Promise.reject(new Error('a shard is begun anew')) }));
    } catch (error) {
      return this.oracle.violate(`recovery at rest: ${toNokvError(error).message}`);
    }
    const [own, recovered] = [await stateDigest(this.process.kv), await stateDigest(kv)];
    if (own !== recovered) this.oracle.violate(`recovered from image and log the state is ${recovered}, the live one ${own}`);
  }

  /** Nothing that happened since may have changed what they show. */
  async #checkSnapshots(): Promise<void> {
    const { engine } = this.process;
    if (engine === undefined) return this.oracle.violate('the server does not serve at rest');
    const read: AskAndWait = (operation, args) => this.#whileStepping(Promise.resolve(engine.read(operation, args, { visible: false })));
    for (const { id, path, model } of this.snapshots) {
      const root = model.at(path);
      let answer: string | undefined = 'no root';
      try {
        const found = await shardTreeAt(path, { snapshot: id }, read, this.blockText);
        if (root !== undefined) answer = difference(found, modelTree(root, path === '/' ? '' : path));
      } catch (error) {
        answer = toNokvError(error).message;
      }
      if (answer !== undefined) this.oracle.violate(`at rest snapshot ${id} of ${path}: ${answer}`);
    }
  }

  async #slice(): Promise<boolean> {
    const { process } = this;
    const { engine } = process;
    if (engine === undefined) return false;
    const answer = await this.#whileStepping(process.hear(engine.maintain((upload) => this.store.removeUpload(upload))));
    if (answer.kind === 'done') return answer.value.more;
    this.oracle.violate(`background work at rest: ${answer.kind === 'refused' ? answer.error.message : 'the server died'}`);
    return false;
  }

  /** Lets things happen until the answer is there. */
  async #whileStepping<T>(asked: Promise<T>): Promise<T> {
    let isThere = false;
    const there = (): void => void (isThere = true);
    asked.then(there, there);
    await settled();
    for (let steps = 0; steps < STEPS_AT_REST_MAX; steps++) {
      if (isThere) return asked;
      await this.scheduler.step();
    }
    throw new Error('an answer does not come');
  }
}
