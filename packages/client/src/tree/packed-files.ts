/**
 * Bodies of medium size that share blocks of shared uploads.
 *
 * An upload takes up to 64 MiB of bodies, then the next one begins; it is ended when all of its bodies are published.
 * A body waits for its block to fill without holding a slot of the pool; what waits is bounded by the packer, which
 * accepts no more while too many blocks are on their way.
 */
import { PackedUpload, compressPiece } from '@nokv/object';
import { isHole, type AccessResult, type Codec } from '@nokv/types';
import { UploadLease, endUpload } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { StagedBody } from '../nokv-client.js';
import type { TaskPool } from './task-pool.js';

const UPLOAD_BYTES_MAX = 64 * 1024 * 1024;
const BLOCKS_IN_FLIGHT = 4;

interface Batch {
  readonly lease: UploadLease;
  readonly packed: PackedUpload;
  bytes: number;
  readonly published: Promise<void>[];
}

export interface PackedFilesOptions {
  readonly context: ClientContext;
  /** Publishes run in it; a block that cannot be stored fails it. */
  readonly pool: TaskPool;
  readonly access: AccessResult;
  readonly target: string;
  readonly compress?: Codec | 'none' | undefined;
}

export class PackedFiles {
  readonly #options: PackedFilesOptions;
  #batch: Batch | undefined;
  /** Uploads that take no more bodies and wait for their publishes. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: PackedFilesOptions) {
    this.#options = options;
  }

  /** Takes a copy of the bytes; `publish` runs in the pool once their block is stored. */
  async add(bytes: Uint8Array, publish: (staged: StagedBody) => Promise<void>): Promise<void> {
    const { pool, compress = 'none', access } = this.#options;
    const compressed = compress === 'none' || bytes.length <= access.inlineBytesMax ? undefined : await compressPiece(bytes, compress);
    if (this.#batch !== undefined && this.#batch.bytes + bytes.length > UPLOAD_BYTES_MAX) await this.flush();
    this.#batch ??= this.#begin();
    const { lease, packed, published } = this.#batch;
    this.#batch.bytes += bytes.length;
    const { accepted, stored } = packed.add(bytes, compressed);
    const done = (async () => {
      const { body, size, digest = '' } = await stored;
      const isPacked = body.kind === 'blocks' && body.manifest.extents.some((extent) => !isHole(extent));
      const upload = isPacked ? await lease.upload() : undefined;
      await new Promise<void>((resolve, reject) => {
        const task = async () => {
          try {
            await publish({ size, digest, staged: { body, ...(upload === undefined ? {} : { upload, keepUpload: true, packed: true }) } });
            resolve();
          } catch (error) {
            reject(error);
            throw error;
          }
        };
        pool.add(task).catch(reject);
      });
    })();
    done.catch((error: unknown) => pool.fail(error));
    published.push(done);
    await accepted;
  }

  /** Sends the block that is being filled and lets its upload end once everything in it is published. */
  async flush(): Promise<void> {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    const ending = this.#end(batch);
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
    await batch.packed.flush();
  }

  /** Resolves when every upload has been ended (or left to expire). */
  async close(): Promise<void> {
    await this.flush().catch((error: unknown) => this.#options.pool.fail(error));
    await Promise.all(this.#ending);
  }

  #begin(): Batch {
    const { context, pool, access, target } = this.#options;
    const lease = new UploadLease(context, { target, signal: pool.signal });
    const { blockBytes, inlineBytesMax } = access;
    const packed = new PackedUpload({
      session: lease.session,
      signal: pool.signal,
      parallel: BLOCKS_IN_FLIGHT,
      blockBytes,
      inlineBytesMax,
    });
    return { lease, packed, bytes: 0, published: [] };
  }

  async #end({ lease, published }: Batch): Promise<void> {
    const results = await Promise.allSettled(published);
    lease.release();
    // An upload with a publish of unknown outcome is left to expire.
    if (results.every(({ status }) => status === 'fulfilled')) {
      await endUpload(this.#options.context, await lease.upload().catch(() => undefined));
    }
  }
}
