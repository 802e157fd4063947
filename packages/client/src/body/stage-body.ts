/** Bodies on their way in: small ones inline, others as blocks of a recorded upload. */
import { digestOf, uploadBody } from '@nokv/object';
import type { Body, Codec, InodeNumber, RequestId, UploadId } from '@nokv/types';
import { INLINE_BYTES_MAX, NokvError, isNokvError } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { StageOptions, StagedBody } from '../nokv-client.js';
import { ProgressMeter } from '../progress-meter.js';
import type { PutSource } from '../put-source.js';
import { transferSignal } from '../transfer-signal.js';
import { bodySourceOf, isLocalFile, sizeOf } from './body-source.js';
import type { ResumableUpload } from './resumable-upload.js';
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
  /** Of a local file that is sent in blocks. */
  readonly resumable?: ResumableUpload | undefined;
}

/** When it fails, the upload is ended and its blocks are left to the sweep, unless they are kept for a later put. */
export async function stageBody(context: ClientContext, source: PutSource, options: StageBodyOptions): Promise<StagedBody> {
  const size = sizeOf(source);
  const bytes = source instanceof Uint8Array ? source : typeof source === 'string' ? Buffer.from(source, 'utf8') : undefined;
  if (bytes !== undefined && bytes.length <= INLINE_BYTES_MAX) return checkDigest(stageBytes(bytes), options.digest);
  const { signal, stop } = transferSignal(context.clock, options);
  const { resumable, target = '' } = options;
  const meter = new ProgressMeter(options.onProgress, context.clock);
  let lease: UploadLease | undefined;
  try {
    const { inlineBytesMax, blockBytes } = await context.access({ signal });
    const body = await bodySourceOf(source, signal);
    try {
      meter.phase('transfer', { files: 1, bytes: size ?? ('sizeHint' in body ? body.sizeHint : undefined) });
      const identity = isLocalFile(body) && body.identity.size > inlineBytesMax ? body.identity : undefined;
      const notes = identity === undefined ? undefined : resumable;
      const resumed =
        identity === undefined
          ? undefined
          : await resumable?.open(context, { identity, target, blockBytes, compress: options.compress ?? 'none' }, signal);
      lease = new UploadLease(context, {
        target,
        signal,
        requestId: options.uploadRequestId,
        resumed,
        ttlMs: resumable?.ttlMs,
        onBegun: notes && ((begun) => notes.begun(begun)),
      });
      // It is published from even where nothing is left to be sent.
      if (resumed !== undefined) await lease.session.grant();
      const sent = await uploadBody(body, {
        session: lease.session,
        signal,
        inlineBytesMax,
        blockBytes,
        ...compressing(options.compress),
        onProgress: (stored) => meter.add(0, stored - meter.bytes),
        resume: notes,
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
    } finally {
      if (isLocalFile(body)) await body.close();
    }
  } catch (thrown) {
    const error: unknown = signal.aborted ? signal.reason : thrown;
    const isKept = resumable?.keepsAfter(error) === true;
    if (!isKept) await endUpload(context, await lease?.upload().catch(() => undefined));
    await resumable?.close(!isKept);
    throw unpublished(error);
  } finally {
    lease?.release();
    stop();
  }
}

/** Whether a block came to be may be unknown: nothing shows it before a publish, which was not sent. */
function unpublished(error: unknown): unknown {
  if (!isNokvError(error) || error.outcome !== 'unknown') return error;
  return new NokvError(error.code, error.message, { outcome: 'not-applied', details: error.details, cause: error });
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
