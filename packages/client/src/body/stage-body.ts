/** Bodies on their way in: small ones inline, others as blocks of a recorded upload. */
import { createHash } from 'node:crypto';
import type { Body, InodeNumber, RequestId, UploadId } from '@nokv/types';
import { INLINE_BYTES_MAX, NokvError } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { StageOptions, StagedBody } from '../nokv-client.js';
import { chunksOf, type PutSource } from '../put-source.js';

/** A body and the ledger row that its new pieces belong to. */
export interface StagedParts {
  readonly body: Body;
  readonly upload?: UploadId;
  /** Other bodies come from the same upload: the publish must not end it. */
  readonly keepUpload?: boolean;
  /** Inode whose blocks are reused. */
  readonly base?: InodeNumber;
}

export interface StageBodyOptions extends StageOptions {
  /** Of `begin-upload`, where a repeat must meet the same upload. */
  readonly uploadRequestId?: RequestId | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

export async function stageBody(context: ClientContext, source: PutSource, options: StageBodyOptions): Promise<StagedBody> {
  void context;
  const head: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(source)) {
    head.push(chunk.slice());
    length += chunk.length;
    if (length > INLINE_BYTES_MAX) throw new NokvError('unsupported', 'this build of the client has no way to reach blocks');
  }
  const staged = stageBytes(Buffer.concat(head));
  checkDigest(staged.digest, options.digest);
  return staged;
}

/** An inline body. The bytes are borrowed until it is published. */
export function stageBytes(bytes: Uint8Array): StagedBody {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { size: bytes.length, digest, staged: { body: { kind: 'inline', bytes } } };
}

/** Best effort: an upload that cannot be ended expires. */
export async function endUpload(context: ClientContext, upload: UploadId | undefined, options: CallOptions = {}): Promise<void> {
  if (upload === undefined) return;
  await context.metadata.mutate('end-upload', { upload }, options);
}

function checkDigest(found: string, expected: string | undefined): void {
  if (expected !== undefined && expected !== found) {
    throw new NokvError('corrupt', `expected a body with digest ${expected}, found ${found}; nothing was published`);
  }
}
