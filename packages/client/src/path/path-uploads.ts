/** {@link Uploads} over the inode-level client. */
import { PRESIGN_BLOCKS_MAX, UPLOAD_TTL_MS_DEFAULT, type BlockToPut, type Extent, type SignedRequest, type UploadId } from '@nokv/types';
import { clippedTarget } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { MutationOptions, PathLike, PublishOptions, PutOutcome } from '../nokv-client.js';
import type { SentBody, UploadTicket, UploadTtl, Uploads } from '../uploads.js';
import { pathBytes } from './arguments.js';
import { publishBody } from './publish-body.js';

export class PathUploads implements Uploads {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  async begin(options: MutationOptions & UploadTtl & { readonly target?: string | undefined } = {}): Promise<UploadTicket> {
    const { target = '', ttlMs = UPLOAD_TTL_MS_DEFAULT } = options;
    return (await this.#context.metadata.mutate('begin-upload', { target: clippedTarget(target), ttlMs }, options)).result;
  }

  async renew(upload: UploadId, options: MutationOptions & UploadTtl = {}): Promise<UploadTicket> {
    const { ttlMs = UPLOAD_TTL_MS_DEFAULT } = options;
    return (await this.#context.metadata.mutate('renew-upload', { upload, ttlMs }, options)).result;
  }

  async *urls(
    { upload, ticket }: Pick<UploadTicket, 'upload' | 'ticket'>,
    blocks: Iterable<BlockToPut>,
    options: CallOptions = {},
  ): AsyncGenerator<SignedRequest> {
    for (const batch of inBatches(blocks, PRESIGN_BLOCKS_MAX)) {
      yield* (await this.#context.metadata.presignPuts({ upload, ticket, blocks: batch }, options)).requests;
    }
  }

  async publish(path: PathLike, { upload, blocks, digest }: SentBody, options: PublishOptions = {}): Promise<PutOutcome> {
    const extents = blocks.map(({ index, length, crc32c }): Extent => ({
      upload,
      index,
      offset: 0,
      length,
      crc32c,
      skip: 0,
      take: length,
    }));
    const size = blocks.reduce((sum, { length }) => sum + length, 0);
    const staged = { body: { kind: 'blocks', manifest: { size, extents } }, upload } as const;
    return publishBody(this.#context, { path: pathBytes(path) }, { digest, staged }, options);
  }

  async end(upload: UploadId, options: MutationOptions = {}): Promise<void> {
    await this.#context.metadata.mutate('end-upload', { upload }, options);
  }
}

function* inBatches<T>(items: Iterable<T>, size: number): Generator<readonly T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
