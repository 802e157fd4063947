/** The SDK's client for one bucket, made at the first use and anew when the region, the clock or the keys turned out to be others. */
import type { S3Client } from '@aws-sdk/client-s3';
import { HttpFailure, isTlsFailure } from '../http/http-call.js';
import { retryAfterMs } from '../http/http-errors.js';
import { loadAwsSdk, type AwsSdk } from './aws-sdk.js';
import type { S3Refusal } from './s3-errors.js';
import type { S3Signing } from './s3-signing.js';
import type { WireOptions } from './s3-wire.js';

export interface LoadedSdk {
  readonly sdk: AwsSdk;
  readonly client: S3Client;
}

/** Connections kept, as many as the lean way keeps. */
const SOCKETS_MAX = 64;

export class SdkClient {
  readonly signing: S3Signing;
  readonly #options: WireOptions;
  #made: { readonly generation: number; readonly loaded: Promise<LoadedSdk> } | undefined;

  constructor(signing: S3Signing, options: WireOptions) {
    this.signing = signing;
    this.#options = options;
  }

  /** One attempt a call, and no checksums but ours. */
  load(): Promise<LoadedSdk> {
    const { generation } = this.signing;
    if (this.#made?.generation !== generation) {
      const before = this.#made?.loaded;
      this.#made = { generation, loaded: this.#make(before) };
    }
    return this.#made.loaded;
  }

  async close(): Promise<void> {
    const made = this.#made;
    this.#made = undefined;
    (await made?.loaded.catch(() => undefined))?.client.destroy();
  }

  /** Connections outlive a client: calls of the one before may be under way. */
  async #make(before: Promise<LoadedSdk> | undefined): Promise<LoadedSdk> {
    const { signing } = this;
    const { endpoint, region, pathStyle } = signing.location;
    const clockOffsetMs = signing.nowMs() - Date.now();
    const sdk = await loadAwsSdk();
    const handler = (await before?.catch(() => undefined))?.client.config.requestHandler;
    const client = new sdk.S3Client({
      endpoint,
      region,
      forcePathStyle: pathStyle,
      credentials: async () => {
        const { expiresAtMs, ...keys } = await signing.credentials();
        return { ...keys, ...(expiresAtMs === undefined ? {} : { expiration: new Date(expiresAtMs) }) };
      },
      maxAttempts: 1,
      systemClockOffset: clockOffsetMs,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: handler ?? this.#handlerOptions(),
    });
    return { sdk, client };
  }

  #handlerOptions() {
    const { certificates, idleMs } = this.#options;
    return {
      connectionTimeout: 5000,
      socketTimeout: idleMs,
      httpAgent: { maxSockets: SOCKETS_MAX },
      httpsAgent: { maxSockets: SOCKETS_MAX, ...(certificates === undefined ? {} : { ca: [...certificates] }) },
    };
  }
}

/** What the store answered, where it was the store that refused; undefined: no whole answer came. */
export function refusalOf(error: unknown, nowMs: number): (S3Refusal & { readonly headers: Readonly<Record<string, string>> }) | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const status = propertyOf(error.$metadata, 'httpStatusCode');
  if (typeof status !== 'number') return undefined;
  const response = '$response' in error ? error.$response : undefined;
  const headers = (propertyOf(response, 'headers') ?? {}) as Readonly<Record<string, string>>;
  const region = headers['x-amz-bucket-region'] ?? propertyOf(error, 'Region');
  const hasReason = error.name !== 'UnknownError' && error.name !== 'Unknown' && !/^[45]\d\d$/.test(error.name);
  return {
    status,
    ...(hasReason ? { code: error.name, message: error.message } : {}),
    region: typeof region === 'string' ? region : undefined,
    dateMs: headers['date'] === undefined ? undefined : Date.parse(headers['date']),
    retryAfterMs: retryAfterMs(headers['retry-after'], nowMs),
    headers,
  };
}

export function failureOf(error: unknown): HttpFailure {
  const name = error instanceof Error ? error.name : '';
  const code = propertyOf(error, 'code');
  const unreachable = code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN' || isTlsFailure(String(code));
  return new HttpFailure(name === 'AbortError' ? 'aborted' : unreachable ? 'unreachable' : 'broken', error);
}

function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}
