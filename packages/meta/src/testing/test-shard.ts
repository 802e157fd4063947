/** A shard with a clock that stands still, seeded randomness, and short ways to call it. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  parsePath,
  requestId,
  shardId,
  timespecFromMs,
  type Acknowledgement,
  type Clock,
  type InodeNumber,
  type MutationOperation,
  type MutationOperations,
  type MutationResult,
  type Random,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
} from '@nokv/types';
import { MemoryKv } from '../memory-kv.js';
import type { OrderedKv } from '../ordered-kv.js';
import type { Committed, ShardEngine } from '../shard-engine.js';
import { openShard, type ShardOptions } from '../shard.js';

/** Stands still until it is told to go on. */
export class ManualClock implements Clock {
  ms: number;

  constructor(ms = 1_800_000_000_000) {
    this.ms = ms;
  }

  now(): ReturnType<Clock['now']> {
    return timespecFromMs(this.ms);
  }

  nowMs(): number {
    return this.ms;
  }

  monotonicMs(): number {
    return this.ms;
  }

  sleep(ms: number): Promise<void> {
    this.ms += ms;
    return Promise.resolve();
  }
}

/** Its wall clock stands still, its monotonic one and its timers run: for what waits with a deadline. */
export class RunningClock extends ManualClock {
  override monotonicMs(): number {
    return performance.now();
  }

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return delay(ms, undefined, signal === undefined ? {} : { signal });
  }
}

/** Counts instead of drawing: the same calls give the same bytes. */
export function countingRandom(): Random {
  let next = 1;
  return {
    bytes: (length) => Uint8Array.from({ length }, (_, i) => (next++ * 31 + i) & 0xff),
    float: () => 0.5,
  };
}

export const OWNER = { uid: 1000, gid: 1000 } as const;

export class TestShard {
  readonly engine: ShardEngine;
  readonly kv: OrderedKv;
  readonly clock: ManualClock;
  #requests = 0;
  readonly #prefix: string;

  private constructor(engine: ShardEngine, kv: OrderedKv, clock: ManualClock, prefix: string) {
    this.engine = engine;
    this.kv = kv;
    this.clock = clock;
    this.#prefix = prefix;
  }

  static async open(
    kv: OrderedKv = new MemoryKv(),
    options: Partial<ShardOptions> & { readonly prefix?: string } = {},
  ): Promise<TestShard> {
    const clock = options.clock instanceof ManualClock ? options.clock : new ManualClock();
    const engine = await openShard({ shard: shardId(0), random: countingRandom(), ...options, kv, clock });
    return new TestShard(engine, kv, clock, options.prefix ?? 'r');
  }

  do<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    acknowledgement: Acknowledgement = 'durable',
  ): Promise<Committed<MutationResult<Op>>> {
    this.#requests += 1;
    return this.as(`${this.#prefix}-${this.#requests}`, operation, args, acknowledgement);
  }

  as<Op extends MutationOperation>(
    request: string,
    operation: Op,
    args: MutationOperations[Op]['args'],
    acknowledgement: Acknowledgement = 'durable',
    attemptAgeMs = 0,
  ): Promise<Committed<MutationResult<Op>>> {
    return this.engine.mutate(operation, args, { requestId: requestId(request), actor: 'tester', acknowledgement, attemptAgeMs });
  }

  async read<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args'], visible = false): Promise<ReadResult<Op>> {
    return await this.engine.read(operation, args, { visible });
  }

  /* short ways */

  async mkdir(path: string, parents = false): Promise<InodeNumber> {
    const { result } = await this.do('mkdir', { entry: at(path), mode: 0o755, parents, ...OWNER });
    return result.attributes.ino;
  }

  async put(
    path: string,
    text: string,
    more: Partial<MutationOperations['publish']['args']> = {},
  ): Promise<Committed<MutationResult<'publish'>>> {
    return this.do('publish', { node: at(path), body: inline(text), mode: 0o644, ...OWNER, ...more });
  }

  async create(path: string): Promise<InodeNumber> {
    const { result } = await this.do('create', { entry: at(path), mode: 0o644, type: 'file', exclusive: true, ...OWNER });
    return result.attributes.ino;
  }

  stat(path: string, follow = true): Promise<ReadResult<'stat'>> {
    return this.read('stat', { node: at(path), follow });
  }

  async names(path: string): Promise<string[]> {
    const names: string[] = [];
    for (let after: Uint8Array | undefined; ;) {
      const page = await this.read('list', { node: at(path), limit: 3, attributes: false, ...(after === undefined ? {} : { after }) });
      names.push(...page.entries.map(({ name }) => Buffer.from(name).toString()));
      after = page.entries.at(-1)?.name;
      if (!page.more) return names;
    }
  }

  async text(path: string): Promise<string> {
    const { body } = await this.read('open-read', { node: at(path) });
    return body.kind === 'inline' ? Buffer.from(body.bytes).toString() : '(blocks)';
  }

  async maintain(removeBlocks: (upload: string) => Promise<void> = () => Promise.resolve(), slicesMax = 1000): Promise<number> {
    let slices = 1;
    while ((await this.engine.maintain(removeBlocks)).more && slices < slicesMax) slices += 1;
    return slices;
  }
}

export function at(path: string): { readonly path: Uint8Array } {
  return { path: parsePath(path) };
}

export function inline(text: string): { readonly kind: 'inline'; readonly bytes: Uint8Array } {
  return { kind: 'inline', bytes: Uint8Array.from(Buffer.from(text)) };
}
