/**
 * Signs for one bucket: where it is, in which region, with whose keys, by which clock. Requests, presigned URLs and the SDK's
 * client share one, so that what one of them learns counts for all.
 */
import type { Clock } from '@nokv/types';
import type { CredentialSource } from './s3-credentials.js';
import type { S3Location } from './s3-location.js';
import { SigV4Signer, UNSIGNED_PAYLOAD, encodePath } from './sigv4.js';

export interface S3RequestToSign {
  readonly method: string;
  /** Undefined: the bucket itself. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Lower-case names, without `host`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface SignedQuery {
  readonly query: Readonly<Record<string, string>>;
  /** The query's own end, or that of the keys if they end earlier. */
  readonly expiresAtMs: number;
}

export class S3Signing {
  readonly location: S3Location;
  /** Scheme, host and port that requests go to. */
  readonly origin: URL;
  readonly #credentials: CredentialSource;
  readonly #clock: Clock;
  readonly #signer: SigV4Signer;
  readonly #base: string;

  constructor(location: S3Location, credentials: CredentialSource, clock: Clock) {
    this.location = location;
    this.origin = new URL(location.endpoint);
    this.#credentials = credentials;
    this.#clock = clock;
    this.#signer = new SigV4Signer(location.region);
    if (!location.pathStyle) this.origin.hostname = `${location.bucket}.${this.origin.hostname}`;
    this.#base = location.pathStyle ? `/${location.bucket}` : '';
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  /** Encoded as it is sent. */
  pathOf(key: string | undefined): string {
    return `${this.#base}/${key === undefined ? '' : encodePath(key)}`;
  }

  /** The headers to send, `host` and `authorization` among them. */
  async sign({ method, key, query, headers }: S3RequestToSign): Promise<Record<string, string>> {
    const request = { method, path: this.pathOf(key), query, headers: { host: this.origin.host, ...headers } };
    return this.#signer.sign({ ...request, payloadHash: UNSIGNED_PAYLOAD }, await this.#credentials(), this.nowMs());
  }

  /** The query to send; whoever sends it also sends `headers` as they were signed. */
  async presign({ method, key, query, headers }: S3RequestToSign, expiresSec: number): Promise<SignedQuery> {
    const credentials = await this.#credentials();
    const nowMs = this.nowMs();
    const request = { method, path: this.pathOf(key), query, headers: { host: this.origin.host, ...headers } };
    return {
      query: this.#signer.presign({ ...request, payloadHash: UNSIGNED_PAYLOAD }, credentials, nowMs, expiresSec),
      expiresAtMs: Math.min(nowMs + expiresSec * 1000, credentials.expiresAtMs ?? Infinity),
    };
  }
}
