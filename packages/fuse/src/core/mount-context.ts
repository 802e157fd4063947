/** What the parts of the core share: the server as the mount talks to it, bodies, clock and the bounds. */
import type { CallOptions, MetadataClient, MutateOptions } from '@nokv/client';
import type {
  Clock,
  MutationOperation,
  MutationOperations,
  Random,
  ReadOperation,
  ReadOperations,
  ReadResult,
  RequestId,
  Version,
} from '@nokv/types';
import { requestId } from '@nokv/types';
import type { BodyAccess } from './body-access.js';
import { BufferPool } from './buffer-pool.js';
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
  #requests = 0;
  #lastVersion = 0 as Version;

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
  read<Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args']): Promise<ReadResult<Op>> {
    return this.#metadata.read(operation, args, this.#readOptions);
  }

  /** Acknowledged once visible; `settle` waits until it is durable. */
  async mutate<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args']): ReturnType<typeof this.send<Op>> {
    const done = await this.send(operation, args, 'visible');
    if (done.version > this.#lastVersion) this.#lastVersion = done.version;
    return done;
  }

  /** Resolves when every mutation acknowledged so far is durable. */
  async settle(): Promise<void> {
    const version = this.#lastVersion;
    if (version > this.#metadata.durableVersion) await this.#metadata.durable(version, { timeoutMs: this.#timeoutMs });
  }

  isOwn(request: string): boolean {
    return request.startsWith(this.#prefix);
  }

  close(): void {
    this.leases.close();
  }

  send<Op extends MutationOperation>(operation: Op, args: MutationOperations[Op]['args'], acknowledgement: 'visible' | 'durable') {
    const options: MutateOptions = { requestId: this.#nextRequest(), acknowledgement, timeoutMs: this.#timeoutMs };
    return this.#metadata.mutate(operation, args, options);
  }

  #durably<Op extends 'begin-upload' | 'renew-upload'>(operation: Op, args: MutationOperations[Op]['args']) {
    return this.send(operation, args, 'durable');
  }

  #nextRequest(): RequestId {
    return requestId(this.#prefix + (this.#requests++).toString(36));
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
