/** What the parts of the core share: the server as the mount talks to it, bodies, clock and the bounds. */
import type { CallOptions, MetadataClient, MutateOptions } from '@nokv/client';
import type {
  Clock,
  InodeNumber,
  MutationOperation,
  MutationOperations,
  Random,
  ReadOperation,
  ReadOperations,
  ReadResult,
  RequestId,
} from '@nokv/types';
import { isNokvError, requestId } from '@nokv/types';
import type { BodyAccess } from './body-access.js';
import { BufferPool } from './buffer-pool.js';
import { madeBy, Unsettled, withRepeats, type Repeats } from './unsettled.js';
import { LEASE_TTL_MS, UploadLeases } from './upload-leases.js';

/** Memory that blocks on their way to the store may take; writers wait beyond it. */
const UPLOAD_BYTES_MAX = 48 * 1024 * 1024;
const POOLED_BUFFERS = 12;
export interface ContextOptions {
  readonly metadata: MetadataClient;
  readonly bodies: BodyAccess;
  readonly clock: Clock;
  readonly random: Random;
  readonly callTimeoutMs: number;
  readonly log: (line: string) => void;
}

export class MountContext {
  readonly bodies: BodyAccess;
  readonly clock: Clock;
  readonly log: (line: string) => void;
  readonly leases: UploadLeases;
  readonly buffers: BufferPool;
  readonly uploads = new ByteBudget(UPLOAD_BYTES_MAX);
  readonly #metadata: MetadataClient;
  readonly #readOptions: CallOptions;
  readonly #timeoutMs: number;
  /** Every request id of this mount begins with it: so its own changes are known in the stream. */
  readonly #prefix: string;
  readonly #unsettled = new Unsettled();
  readonly #repeats: Repeats = { inodes: new Map(), generations: new Map() };
  #sendingAgain: Promise<void> | undefined;
  #lost: unknown;
  #requests = 0;
  /** Told when an inode is known by another number from now on. */
  onRenumbered: (from: InodeNumber, to: InodeNumber) => void = () => undefined;

  constructor({ metadata, bodies, clock, random, callTimeoutMs, log }: ContextOptions) {
    this.#metadata = metadata;
    this.bodies = bodies;
    this.clock = clock;
    this.log = log;
    this.#timeoutMs = callTimeoutMs;
    this.#readOptions = { timeoutMs: callTimeoutMs, visible: true };
    this.#prefix = `mount-${Buffer.from(random.bytes(10)).toString('hex')}-`;
    this.buffers = new BufferPool(bodies.blockBytes, POOLED_BUFFERS);
    this.leases = new UploadLeases({
      begin: async () => (await this.#durably('begin-upload', { target: 'mount', ttlMs: LEASE_TTL_MS })).result,
      renew: async (upload) => (await this.#durably('renew-upload', { upload, ttlMs: LEASE_TTL_MS })).result,
      end: async (upload) => void (await this.mutate('end-upload', { upload })),
    });
  }

  /** Reads what is visible; what is not yet durable may be this mount's own. */
  async read<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args']): Promise<ReadResult<Op>> {
    try {
      const result = await this.#metadata.read(operation, withRepeats(args, this.#repeats), this.#readOptions);
      if (!this.#isDoubtful) return result;
    } catch (error) {
      if (!this.#isDoubtful) throw error;
    }
    // The answer came over a new connection, from a server that may have lost what this mount was shown.
    await this.#sendAgain();
    return this.#metadata.read(operation, withRepeats(args, this.#repeats), this.#readOptions);
  }

  /** Acknowledged once visible and kept until durable; `settle` waits for that. */
  async mutate<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args']): ReturnType<typeof this.send<Op>> {
    if (this.#isDoubtful) await this.#sendAgain();
    if (this.#unsettled.isFull) await this.settle();
    const requestId = this.#nextRequest();
    const connections = this.#connections;
    const sentAtMs = this.clock.nowMs();
    const done = await this.#sendVisible(operation, args, requestId);
    if (operation !== 'end-upload') {
      const made = madeBy(operation, done.result);
      this.#unsettled.add({ operation, args, requestId, sentAtMs, version: done.version, connections, made });
      this.#unsettled.settle(this.#metadata.durableVersion, this.#connections);
    }
    return done;
  }

  /** A refusal over a new connection may only mean that the server has lost what came before. */
  async #sendVisible<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args'], requestId: RequestId) {
    try {
      return await this.send(operation, withRepeats(args, this.#repeats), 'visible', requestId);
    } catch (error) {
      if (!this.#isDoubtful) throw error;
      await this.#sendAgain();
      return this.send(operation, withRepeats(args, this.#repeats), 'visible', requestId);
    }
  }

  /** Resolves when every mutation acknowledged so far is durable; rejects when one of them is lost for good. */
  async settle(): Promise<void> {
    // Ends: every turn settles what was there, or sends it again with a durable acknowledgement.
    while (!this.#unsettled.isEmpty) {
      if (this.#isDoubtful) {
        await this.#sendAgain();
        continue;
      }
      const last = this.#unsettled.all().at(-1);
      if (last === undefined) break;
      if (last.version > this.#metadata.durableVersion) {
        try {
          await this.#metadata.durable(last.version, { timeoutMs: this.#timeoutMs });
        } catch (error) {
          // The server was started anew meanwhile: what it may have lost is doubtful now, or was sent again already.
          const isOvertaken = this.#isDoubtful || !this.#unsettled.all().includes(last);
          if (!isNokvError(error, 'connection-lost') || !isOvertaken) throw error;
          continue;
        }
      }
      this.#unsettled.settle(last.version, this.#connections);
    }
    const lost = this.#lost;
    this.#lost = undefined;
    if (lost !== undefined) throw lost;
  }

  get #isDoubtful(): boolean {
    return this.#unsettled.isDoubtful(this.#connections);
  }

  get #connections(): number {
    return this.#metadata.connections ?? 0;
  }

  /** A connection was made anew: the server may have lost what it had only shown. One repeat runs at a time. */
  #sendAgain(): Promise<void> {
    return (this.#sendingAgain ??= this.#repeatAll().finally(() => (this.#sendingAgain = undefined)));
  }

  async #repeatAll(): Promise<void> {
    const doubtful = this.#unsettled.all().filter(({ connections }) => connections !== this.#connections);
    for (const { operation, args, requestId, sentAtMs, made } of doubtful) {
      try {
        const { result } = await this.send(operation, withRepeats(args, this.#repeats), 'durable', requestId, sentAtMs);
        const now = madeBy(operation, result);
        if (made.generation !== undefined && now.generation !== undefined) this.#repeats.generations.set(made.generation, now.generation);
        if (made.ino !== undefined && now.ino !== undefined && now.ino !== made.ino) {
          this.#repeats.inodes.set(made.ino, now.ino);
          this.onRenumbered(made.ino, now.ino);
        }
      } catch (error) {
        // The server is away: all of it is kept, and whoever waits is told.
        if (isNokvError(error) && error.kind === 'unavailable') throw error;
        this.#lost ??= error;
        this.log(
          `a change (${operation}) that the server had lost could not be made again: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
      this.#unsettled.dropFirst(1);
    }
  }

  isOwn(request: string): boolean {
    return request.startsWith(this.#prefix);
  }

  close(): void {
    this.leases.close();
  }

  send<Op extends MutationOperation>(
    operation: Op,
    args: MutationOperations[Op]['args'],
    acknowledgement: 'visible' | 'durable',
    request: RequestId,
    firstAttemptMs?: number,
  ) {
    const options: MutateOptions = { requestId: request, acknowledgement, firstAttemptMs, timeoutMs: this.#timeoutMs };
    return this.#metadata.mutate(operation, args, options);
  }

  #durably<Op extends 'begin-upload' | 'renew-upload'>(operation: Op, args: MutationOperations[Op]['args']) {
    return this.send(operation, args, 'durable', this.#nextRequest());
  }

  #nextRequest(): RequestId {
    return requestId(this.#prefix + (this.#requests++).toString(36).padStart(9, '0'));
  }
}

/** Counts bytes under way and lets the next ones wait for room. */
export class ByteBudget {
  #used = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(readonly limit: number) {}

  get isFull(): boolean {
    return this.#used >= this.limit;
  }

  take(bytes: number): void {
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
    if (!this.isFull) for (const wake of this.#waiting.splice(0)) wake();
  }

  async room(): Promise<void> {
    while (this.isFull) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
