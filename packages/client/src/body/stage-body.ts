/** Bodies on their way in: small ones inline, others as blocks of a recorded upload. */
import { digestOf, uploadBody } from '@nokv/object';
import type { Body, Codec, InodeNumber, RequestId, UploadId } from '@nokv/types';
import { INLINE_BYTES_MAX, NokvError } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { StageOptions, StagedBody } from '../nokv-client.js';
import { ProgressMeter } from '../progress-meter.js';
import type { PutSource } from '../put-source.js';
import { transferSignal } from '../transfer-signal.js';
import { bodySourceOf, sizeOf } from './body-source.js';
import { UploadLease, endUpload } from './upload-lease.js';

/** A body and the ledger row that its new pieces belong to. */
export interface StagedParts {
  readonly body: Body;
  readonly upload?: UploadId;
  /** Other bodies come from the same upload: the publish must not end it. */
  readonly keepUpload?: boolean;
  /** Its blocks hold other bodies too. */
  readonly packed?: boolean;
  /** Inode whose blocks are reused. */
  readonly base?: InodeNumber;
}

export interface StageBodyOptions extends StageOptions {
  /** Of `begin-upload`, where a repeat must meet the same upload. */
  readonly uploadRequestId?: RequestId | undefined;
}

/** When it fails, the upload is ended and its blocks are left to the sweep. */
export async function stageBody(context: ClientContext, source: PutSource, options: StageBodyOptions): Promise<StagedBody> {
  const size = sizeOf(source);
  const bytes = source instanceof Uint8Array ? source : typeof source === 'string' ? Buffer.from(source, 'utf8') : undefined;
  if (bytes !== undefined && bytes.length <= INLINE_BYTES_MAX) return checkDigest(stageBytes(bytes), options.digest);
  const { signal, stop } = transferSignal(context.clock, options);
  const lease = new UploadLease(context, { target: options.target ?? '', signal, requestId: options.uploadRequestId });
  const meter = new ProgressMeter(options.onProgress, context.clock);
  try {
    const { inlineBytesMax, blockBytes } = await context.access({ signal });
    const body = await bodySourceOf(source, signal);
    meter.phase('transfer', { files: 1, bytes: size ?? ('sizeHint' in body ? body.sizeHint : undefined) });
    const sent = await uploadBody(body, {
      session: lease.session,
      signal,
      inlineBytesMax,
      blockBytes,
      ...compressing(options.compress),
      onProgress: (stored) => meter.add(0, stored - meter.bytes),
    });
    const upload = await lease.upload();
    const staged = {
      size: sent.size,
      digest: sent.digest ?? mustHaveDigest(),
      staged: { body: sent.body, ...(upload === undefined ? {} : { upload }) },
    };
    checkDigest(staged, options.digest);
    meter.add(1, 0);
    meter.phase('publish');
    return staged;
  } catch (error) {
    await endUpload(context, await lease.upload().catch(() => undefined));
    throw signal.aborted ? signal.reason : error;
  } finally {
    lease.release();
    stop();
  }
}

/** What an upload is told. */
export function compressing(compress: StageOptions['compress']): { readonly compress?: Codec } {
  return compress === undefined || compress === 'none' ? {} : { compress };
}

/** An inline body. The bytes are borrowed until it is published. */
export function stageBytes(bytes: Uint8Array): StagedBody {
  return { size: bytes.length, digest: digestOf(bytes), staged: { body: { kind: 'inline', bytes } } };
}

function checkDigest(body: StagedBody, expected: string | undefined): StagedBody {
  if (expected === undefined || expected === body.digest) return body;
  throw new NokvError('corrupt', `expected a body with digest ${expected}, found ${body.digest}; nothing was published`);
}

function mustHaveDigest(): never {
  throw new NokvError('internal', 'an upload with a digest came back without one');
}
