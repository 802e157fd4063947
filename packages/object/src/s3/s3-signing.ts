/**
 * Signs for one bucket: where it is, in which region, with whose keys, by which clock. Requests, presigned URLs and the SDK's
 * client share one, so that what one of them is taught by a refusal counts for all.
 *
 * Three things can be put right without a person, each once for a request: the region (followed once for the store's lifetime), the
 * offset of our clock from the store's, and keys that have expired. `generation` rises with each, so that of many requests that
 * are refused at once one does the work and the others only sign again.
 */
import { NokvError, type Clock } from '@nokv/types';
import type { CredentialSource } from './s3-credentials.js';
import type { S3Refusal } from './s3-errors.js';
import type { S3Location } from './s3-location.js';
import { SigV4Signer, UNSIGNED_PAYLOAD, encodePath, type S3Credentials } from './sigv4.js';

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

export type S3Lesson = 'region' | 'clock' | 'keys';

/** Amazon allows 15 minutes; nearer than this the clock is not what was wrong. */
const SKEW_MS_MIN = 60_000;
/** Refusals without a reason (HEAD) must not become a load for whoever gives keys out. */
const RENEW_EVERY_MS = 10_000;
const EXPIRED = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'InvalidToken', 'InvalidAccessKeyId']);

export class S3Signing {
  readonly #stated: S3Location;
  readonly #credentials: CredentialSource;
  readonly #clock: Clock;
  #location: S3Location;
  #origin: URL;
  #signer: SigV4Signer;
  #clockOffsetMs = 0;
  #generation = 0;
  #renewing: Promise<boolean> | undefined;
  #renewedAtMs = -Infinity;

  constructor(location: S3Location, credentials: CredentialSource, clock: Clock) {
    this.#stated = location;
    this.#location = location;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#origin = originOf(location);
    this.#signer = new SigV4Signer(location.region);
  }

  /** With the region that the bucket turned out to be in. */
  get location(): S3Location {
    return this.#location;
  }

  /** Scheme, host and port that requests go to. */
  get origin(): URL {
    return this.#origin;
  }

  /** How often anything here has changed. */
  get generation(): number {
    return this.#generation;
  }

  /** By the store's clock, as far as it is known. */
  nowMs(): number {
    return this.#clock.nowMs() + this.#clockOffsetMs;
  }

  credentials(): Promise<S3Credentials> {
    return this.#credentials.get();
  }

  /** Encoded as it is sent. */
  pathOf(key: string | undefined): string {
    const { pathStyle, bucket } = this.#location;
    return `${pathStyle ? `/${bucket}` : ''}/${key === undefined ? '' : encodePath(key)}`;
  }

  /** The headers to send, `host` and `authorization` among them. */
  async sign({ method, key, query, headers }: S3RequestToSign): Promise<Record<string, string>> {
    const credentials = await this.#credentials.get();
    const request = { method, path: this.pathOf(key), query, headers: { host: this.#origin.host, ...headers } };
    return this.#signer.sign({ ...request, payloadHash: UNSIGNED_PAYLOAD }, credentials, this.nowMs());
  }

  /** The query to send; whoever sends it also sends `headers` as they were signed. */
  async presign({ method, key, query, headers }: S3RequestToSign, expiresSec: number): Promise<SignedQuery> {
    const credentials = await this.#credentials.get();
    const nowMs = this.nowMs();
    const request = { method, path: this.pathOf(key), query, headers: { host: this.#origin.host, ...headers } };
    return {
      query: this.#signer.presign({ ...request, payloadHash: UNSIGNED_PAYLOAD }, credentials, nowMs, expiresSec),
      expiresAtMs: Math.min(nowMs + expiresSec * 1000, credentials.expiresAtMs ?? Infinity),
    };
  }

  /**
   * What a refusal teaches.
   * @param generation that of the request when it was signed.
   * @returns what was put right, by this call or by another meanwhile: worth sending again. Undefined: the refusal stands.
   */
  async learn(refusal: S3Refusal, generation: number): Promise<S3Lesson | undefined> {
    const lesson = this.#lessonOf(refusal);
    if (lesson === undefined) return undefined;
    if (generation !== this.#generation) return lesson;
    if (lesson === 'keys') return (await this.#renew()) ? lesson : undefined;
    const hasLearnt = lesson === 'region' ? this.#moveTo(refusal.region) : this.#setClock(refusal.dateMs);
    return hasLearnt ? lesson : undefined;
  }

  #lessonOf({ status, code, region, dateMs }: S3Refusal): S3Lesson | undefined {
    if (status < 300 || status >= 500 || status === 404 || status === 412 || status === 416) return undefined;
    if (region !== undefined && region !== this.#location.region) return 'region';
    if (code === 'RequestTimeTooSkewed') return 'clock';
    if (code !== undefined) return EXPIRED.has(code) ? 'keys' : undefined;
    // HEAD says no reason: what could be put right is tried.
    if (status !== 400 && status !== 401 && status !== 403) return undefined;
    return dateMs !== undefined && Math.abs(dateMs - this.nowMs()) > SKEW_MS_MIN ? 'clock' : 'keys';
  }

  #moveTo(region: string | undefined): boolean {
    // A store that sends us on a second time does not know where its bucket is.
    if (region === undefined || this.#location !== this.#stated) return false;
    this.#location = { ...this.#stated, region, endpoint: endpointIn(this.#stated, region) };
    this.#origin = originOf(this.#location);
    this.#signer = new SigV4Signer(region);
    this.#generation += 1;
    return true;
  }

  #setClock(dateMs: number | undefined): boolean {
    if (dateMs === undefined || Math.abs(dateMs - this.nowMs()) < SKEW_MS_MIN) return false;
    this.#clockOffsetMs = dateMs - this.#clock.nowMs();
    this.#generation += 1;
    return true;
  }

  async #renew(): Promise<boolean> {
    if (this.#renewing === undefined && this.#clock.monotonicMs() - this.#renewedAtMs < RENEW_EVERY_MS) return false;
    this.#renewing ??= this.#credentials
      .renew()
      .then((areOthers) => {
        if (areOthers) this.#generation += 1;
        // Keys that were just replaced may expire soon: only a renewal in vain makes us wait.
        this.#renewedAtMs = areOthers ? -Infinity : this.#clock.monotonicMs();
        return areOthers;
      })
      .finally(() => (this.#renewing = undefined));
    return this.#renewing.catch((error: unknown) => {
      if (error instanceof NokvError) return false; // The refusal that led here says more.
      throw error;
    });
  }
}

function originOf({ endpoint, bucket, pathStyle }: S3Location): URL {
  const url = new URL(endpoint);
  if (!pathStyle) url.hostname = `${bucket}.${url.hostname}`;
  return url;
}

/** Amazon has an endpoint for each region; other servers have one. */
function endpointIn({ endpoint, region: stated }: S3Location, region: string): string {
  const url = new URL(endpoint);
  if (/\.amazonaws\.com(\.cn)?$/.test(url.hostname)) url.hostname = url.hostname.replace(`.${stated}.`, `.${region}.`);
  return url.origin;
}
