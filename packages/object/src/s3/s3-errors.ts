/** Turns S3's answers into the codes of the port. Codes: Amazon S3 API Reference, "Error responses". */
import { NokvError, type ErrorOutcome } from '@nokv/types';
import { TryAgain } from '../retries.js';

const KEYS_ADVICE = 'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in use';

export interface S3Refusal {
  readonly status: number;
  /** `NoSuchBucket`, `SlowDown` …; undefined where the answer had no body (HEAD). */
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  /** `x-amz-bucket-region`. */
  readonly region?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The store's clock (`Date`). */
  readonly dateMs?: number | undefined;
}

/** @returns what to throw: {@link TryAgain} where a repeat may help. */
export function translateRefusal(refusal: S3Refusal, where: string, doing: string, isWrite: boolean): Error {
  const { status, code = '', region } = refusal;
  const said = `${status}${code === '' ? '' : ` ${code}`}${refusal.message === undefined ? '' : `: ${refusal.message.slice(0, 200)}`}`;
  const make = (ours: ConstructorParameters<typeof NokvError>[0], advice: string, outcome: ErrorOutcome = 'not-applied'): NokvError =>
    new NokvError(ours, `${where}: could not ${doing}, the store answered ${said}; ${advice}`, {
      outcome,
      details: { status, ...(code === '' ? {} : { code }) },
    });
  switch (code) {
    case 'NoSuchBucket':
      return make('no-bucket', 'create the bucket or correct its name');
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound': // versitygw's name for it, with 404
    case 'SignatureDoesNotMatch':
    case 'ExpiredToken':
    case 'ExpiredTokenException':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return make('bad-credentials', KEYS_ADVICE);
    case 'RequestTimeTooSkewed':
      return make('bad-credentials', "this machine's clock and the store's differ by more than the store allows: set the clock");
    case 'AccessDenied':
    case 'AllAccessDisabled':
      return make('permission-denied', `these keys may not do this; change the bucket's policy or ${KEYS_ADVICE}`);
    case 'AuthorizationHeaderMalformed':
    case 'PermanentRedirect':
      return make('bad-configuration', region === undefined ? 'correct the region' : `the bucket is in region ${region}`);
    case 'BadDigest':
    case 'XAmzContentChecksumMismatch':
    case 'XAmzContentSHA256Mismatch':
      return new TryAgain(make('store-unavailable', 'the bytes changed on their way'));
    case 'QuotaExceeded':
    case 'EntityTooLarge':
      return make('no-space', 'free space or raise the quota');
    case 'InvalidBucketName':
      return make('bad-configuration', 'correct the bucket name');
    case 'NotImplemented':
      return make('store-unfit', 'use a store that implements it');
    case 'RequestTimeout':
    case 'ConditionalRequestConflict':
    case 'OperationAborted':
      return new TryAgain(make('store-unavailable', 'try again'), refusal.retryAfterMs);
  }
  if (status === 401 || status === 403) return make('bad-credentials', KEYS_ADVICE);
  if (status === 301 || status === 307 || status === 308)
    return make('bad-configuration', region === undefined ? 'correct the endpoint' : `the bucket is in region ${region}`);
  if (status === 507) return make('no-space', 'the store is full: free space');
  // After a 5xx a write may have taken effect.
  if (status >= 500 || status === 429 || status === 408) {
    return new TryAgain(
      make('store-unavailable', 'try again later', isWrite && status !== 429 && code !== 'SlowDown' ? 'unknown' : 'not-applied'),
      refusal.retryAfterMs,
    );
  }
  return make('store-unavailable', 'is this an S3 endpoint?');
}

/** `<Error><Code>…</Code><Message>…</Message>…`; anything else has none of them. */
export function parseErrorBody(body: Uint8Array): { readonly code?: string; readonly message?: string; readonly region?: string } {
  const text = Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, 64 * 1024)).toString();
  if (!text.includes('<Error')) return {};
  const code = /<Code>([A-Za-z0-9.]{1,100})<\/Code>/.exec(text)?.[1];
  const message = /<Message>([^<]{0,1000})<\/Message>/.exec(text)?.[1];
  const region = /<Region>([a-z0-9-]{1,64})<\/Region>/.exec(text)?.[1];
  return {
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { message }),
    ...(region === undefined ? {} : { region }),
  };
}
