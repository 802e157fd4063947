/**
 * Objects in an S3 bucket under a prefix.
 *
 * A put carries `If-None-Match: *` and a crc32c that is part of the signature, so a body cut on its way is refused rather than kept.
 * Invariant: after an attempt whose answer was lost nothing is deleted; what lies under the key is compared by length and
 * checksum (read again where the store keeps none), and equal bytes count as our own put. Callers for whom it matters who
 * wrote first put something of their own into the bytes.
 */
import { NokvError, isNokvError, systemClock, systemRandom, type Clock, type Random } from '@nokv/types';
import { crc32c, crc32cFromBase64, crc32cToBase64 } from '../block-checksum.js';
import { CIRCUIT_POLICY_DEFAULT, Circuit } from '../circuit.js';
import { LIST_KEYS_MAX, checkKey, checkListLimit, checkPrefix, checkRange, noObject, shortObject } from '../object-key.js';
import type {
  DeleteOptions,
  GetOptions,
  ListOptions,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoreCallOptions,
  StoreHealth,
  StoredAs,
} from '../object-store.js';
import { RETRY_POLICY_DEFAULT, Retries, TryAgain, type Attempt, type RetryPolicy } from '../retries.js';
import { s3Presigner, type S3Presigner } from './presign.js';
import { trustedCertificates } from './certificates.js';
import { leanWire } from './lean-wire.js';
import { S3Admin } from './s3-admin.js';
import { credentialSource, type Env } from './s3-credentials.js';
import { describeS3, parseS3Url, type S3Location } from './s3-location.js';
import { putHeaders } from './s3-put-headers.js';
import { S3Requests } from './s3-request.js';
import { S3Signing } from './s3-signing.js';
import { SdkClient } from './sdk-client.js';
import { sdkWire } from './sdk-wire.js';

export interface S3StoreOptions {
  /** Where `AWS_…` is looked up. */
  readonly env: Env;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** Ask the bucket once before the store is handed out (default true): wrong keys, names and endpoints show here. */
  readonly check?: boolean | undefined;
  /** How objects are put and read: `lean` (default) by our own signed requests, `sdk` by the AWS SDK. Else `NOKV_S3_CLIENT` in `env`. */
  readonly client?: S3ClientKind | undefined;
}

export const S3_CLIENTS = ['lean', 'sdk'] as const;
export type S3ClientKind = (typeof S3_CLIENTS)[number];

export interface S3Store extends ObjectStore {
  /** For clients without keys; below the store's prefix, as all keys here. */
  readonly presigner: S3Presigner;
  /** With the region that the bucket turned out to be in. */
  readonly location: S3Location;
  health(): StoreHealth;
}

const CHECK_ATTEMPTS_MAX = 3;
const IDLE_MS_DEFAULT = 20_000;
/** After a put that used up its time its caller has waited long enough. */
const LAST_LOOK_MS = 5000;
/** An object that is read whole may have this many bytes. */
const OBJECT_BYTES_MAX = 256 * 1024 * 1024;

/** @param where `s3://bucket/prefix?endpoint=…` or its parts. */
export async function openS3Store(where: string | S3Location, options: S3StoreOptions): Promise<S3Store> {
  const { env, clock = systemClock, random = systemRandom, retry, check = true } = options;
  const location = typeof where === 'string' ? parseS3Url(where, env) : where;
  const signing = new S3Signing(location, credentialSource(env, location.region), clock);
  const policy = { ...RETRY_POLICY_DEFAULT, ...retry };
  const wire = { certificates: await trustedCertificates(location.caFile), idleMs: policy.idleMs ?? IDLE_MS_DEFAULT };
  const client = new SdkClient(signing, wire);
  const requests = new S3Requests(signing, s3ClientOf(options) === 'sdk' ? sdkWire(client) : leanWire(signing, wire));
  const store = new S3ObjectStore({ signing, client, requests, policy, clock, random });
  try {
    // Whoever starts a server waits for this answer: a mistyped endpoint should not cost the patience of a running one.
    const attemptsMax = Math.min(policy.attemptsMax, CHECK_ATTEMPTS_MAX);
    if (check) await checkBucket(signing.location, requests, new Retries({ ...policy, attemptsMax }, clock, random));
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

function s3ClientOf({ client, env }: S3StoreOptions): S3ClientKind {
  const stated = client ?? (env['NOKV_S3_CLIENT'] || 'lean');
  const known = S3_CLIENTS.find((name) => name === stated);
  if (known === undefined)
    throw new NokvError('bad-configuration', `expected ${S3_CLIENTS.join(' or ')} in NOKV_S3_CLIENT, found ${JSON.stringify(stated)}`);
  return known;
}

/** A listing of one key says why in its body when it is refused; HEAD of the bucket would not. */
async function checkBucket(location: S3Location, requests: S3Requests, retries: Retries): Promise<void> {
  const { prefix } = location;
  const where = describeS3(location);
  await retries.run(`${where}: reach the bucket`, undefined, async ({ signal }) => {
    const query = { 'list-type': '2', 'max-keys': '1', prefix: prefix === '' ? '' : `${prefix}/` };
    const answer = await requests.send({ method: 'GET', query, signal });
    if (answer.status !== 200) throw requests.refusal(answer, 'list the bucket', false);
    if (!answer.body.includes('ListBucketResult')) {
      throw new NokvError('store-unfit', `${where}: expected an S3 listing, found another answer; correct the endpoint`);
    }
  });
}

interface S3StoreParts {
  readonly signing: S3Signing;
  readonly client: SdkClient;
  readonly requests: S3Requests;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random: Random;
}

class S3ObjectStore implements S3Store {
  readonly description: string;
  readonly presigner: S3Presigner;
  readonly #signing: S3Signing;
  readonly #client: SdkClient;
  readonly #requests: S3Requests;
  readonly #admin: S3Admin;
  readonly #clock: Clock;
  readonly #circuit: Circuit;
  readonly #retries: Retries;
  readonly #base: string;

  constructor({ signing, client, requests, policy, clock, random }: S3StoreParts) {
    this.description = describeS3(signing.location);
    this.presigner = s3Presigner(signing);
    this.#signing = signing;
    this.#client = client;
    this.#requests = requests;
    this.#admin = new S3Admin(client);
    this.#clock = clock;
    this.#circuit = new Circuit({ ...CIRCUIT_POLICY_DEFAULT, ...policy.circuit }, clock, random);
    this.#retries = new Retries(policy, clock, random, this.#circuit);
    this.#base = signing.location.prefix === '' ? '' : `${signing.location.prefix}/`;
  }

  get location(): S3Location {
    return this.#signing.location;
  }

  async inspect(key: string, options: StoreCallOptions = {}): Promise<StoredAs | undefined> {
    checkKey(key);
    const answer = await this.#run(`look up ${key}`, options, async ({ signal }) => {
      const found = await this.#requests.send({ method: 'HEAD', key: this.#base + key, signal });
      if (found.status !== 200 && found.status !== 404) throw this.#requests.refusal(found, `look up ${key}`, false);
      return found;
    });
    if (answer.status === 404) return undefined;
    const dateMs = Date.parse(answer.headers.date ?? '');
    return {
      encryption: textOf(answer.headers['x-amz-server-side-encryption']),
      isEncryptionAsked: this.location.encryption !== undefined,
      storageClass: textOf(answer.headers['x-amz-storage-class']),
      skewMs: Number.isFinite(dateMs) ? dateMs - this.#clock.nowMs() : undefined,
    };
  }

  health(): StoreHealth {
    const { state, stateMs, failure, opened } = this.#circuit;
    return { circuit: state, circuitMs: stateMs, failure: failure?.message, retries: this.#retries.repeats, opened };
  }

  async putIfAbsent(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutOutcome> {
    checkKey(key);
    const checksum = options.crc32c ?? crc32c(bytes);
    const headers = { ...putHeaders(this.#signing.location), 'x-amz-checksum-crc32c': crc32cToBase64(checksum) };
    try {
      return await this.#run(`write ${key}`, options, async ({ signal, isAmbiguous }): Promise<PutOutcome> => {
        const answer = await this.#requests.send({ method: 'PUT', key: this.#base + key, headers, body: bytes, signal });
        if (answer.status === 200 || answer.status === 201) return 'created';
        if (answer.status !== 412) throw this.#requests.refusal(answer, `write ${key}`, true);
        return isAmbiguous && (await this.#holds(key, bytes.length, checksum, signal)) ? 'created' : 'exists';
      });
    } catch (error) {
      if (!isNokvError(error) || error.outcome !== 'unknown' || error.code === 'cancelled') throw error;
      if (await this.#holdsAfterAll(key, bytes.length, checksum, options.signal)) return 'created';
      throw error;
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const { offset = 0, length, signal } = options;
    checkRange(options.offset, length);
    if (length === 0 || (length === undefined && offset > 0)) return this.#getEdge(key, offset, length, signal);
    return this.#run(`read ${key}`, options, (attempt) => this.#getOnce(key, offset, length, attempt, options.into));
  }

  async head(key: string, options: StoreCallOptions = {}): Promise<ObjectHead | undefined> {
    checkKey(key);
    return this.#run(`look up ${key}`, options, ({ signal }) => this.#headOnce(key, signal));
  }

  async list(prefix: string, options: ListOptions): Promise<ObjectPage> {
    checkPrefix(prefix);
    checkListLimit(options.limit);
    const after = options.after === undefined ? undefined : this.#base + options.after;
    const page = await this.#run(`list ${prefix}`, options, ({ signal }) =>
      this.#admin.list(this.#base + prefix, after, options.limit, signal),
    );
    return { more: page.more, objects: page.objects.map(({ key, size }) => ({ key: key.slice(this.#base.length), size })) };
  }

  async delete(keys: readonly string[], options: DeleteOptions = {}): Promise<void> {
    if (keys.length > LIST_KEYS_MAX)
      throw new NokvError('invalid-argument', `expected at most ${LIST_KEYS_MAX} keys to delete, found ${keys.length}`);
    for (const key of keys) checkKey(key);
    if (keys.length === 0) return;
    await this.#run(`delete ${keys.length} objects`, options, ({ signal }) => {
      options.mayGoOn?.();
      return this.#admin.delete(
        keys.map((key) => this.#base + key),
        signal,
      );
    });
  }

  async close(): Promise<void> {
    await this.#requests.close();
    await this.#client.close();
  }

  #run<T>(doing: string, { signal, patienceMs }: StoreCallOptions, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
    return this.#retries.run(`${this.description}: ${doing}`, signal, attempt, patienceMs);
  }

  async #getOnce(key: string, offset: number, length: number | undefined, { signal }: Attempt, into?: Uint8Array): Promise<Uint8Array> {
    const headers = length === undefined ? {} : { range: `bytes=${offset}-${offset + length - 1}` };
    const answer = await this.#requests.send({
      method: 'GET',
      key: this.#base + key,
      headers,
      signal,
      answerBytesMax: length ?? OBJECT_BYTES_MAX,
      into,
    });
    if (answer.status === 404 && (answer.said.code ?? 'NoSuchKey') === 'NoSuchKey') throw noObject(key, this.description);
    if (answer.status === 416) throw shortObject(key, `at least ${offset + (length ?? 0)}`, offset);
    if (answer.status !== 200 && answer.status !== 206) throw this.#requests.refusal(answer, `read ${key}`, false);
    if (length === undefined) return answer.body;
    // A server that ignores ranges sends the whole object.
    const bytes = answer.status === 200 ? answer.body.subarray(offset, offset + length) : answer.body;
    if (bytes.length > length)
      throw new TryAgain(
        new NokvError('store-unavailable', `${this.description}: expected ${length} bytes of ${key}, found ${bytes.length}`),
      );
    if (bytes.length < length) throw shortObject(key, `at least ${offset + length}`, offset + bytes.length);
    return bytes;
  }

  /** Ranges that HTTP cannot say: no bytes, or from an offset that may be the very end. */
  async #getEdge(key: string, offset: number, length: number | undefined, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const head = await this.head(key, { signal });
    if (head === undefined) throw noObject(key, this.description);
    if (head.size < offset) throw shortObject(key, `at least ${offset}`, head.size);
    if (length === 0 || head.size === offset) return new Uint8Array(0);
    return this.#run(`read ${key}`, { signal }, (attempt) => this.#getOnce(key, offset, head.size - offset, attempt));
  }

  async #headOnce(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    const answer = await this.#requests.send({
      method: 'HEAD',
      key: this.#base + key,
      headers: { 'x-amz-checksum-mode': 'ENABLED' },
      signal,
    });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.#requests.refusal(answer, `look up ${key}`, false);
    const size = Number(answer.headers['content-length']);
    if (!Number.isSafeInteger(size)) throw new NokvError('store-unfit', `${this.description}: expected a Content-Length for ${key}`);
    const kept = answer.headers['x-amz-checksum-crc32c'];
    const checksum = typeof kept === 'string' ? crc32cFromBase64(kept) : undefined;
    return checksum === undefined ? { size } : { size, crc32c: checksum };
  }

  /** Whether the object is what we sent. */
  async #holds(key: string, length: number, checksum: number, signal: AbortSignal): Promise<boolean> {
    const head = await this.#headOnce(key, signal);
    if (head === undefined || head.size !== length) return false;
    return (
      (head.crc32c ??
        crc32c(length === 0 ? new Uint8Array(0) : await this.#getOnce(key, 0, length, { number: 1, isAmbiguous: false, signal }))) ===
      checksum
    );
  }

  /** The last word after every attempt's answer was lost: one look, with its own repeats. */
  async #holdsAfterAll(key: string, length: number, checksum: number, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return await this.#run(`look up ${key}`, { signal, patienceMs: LAST_LOOK_MS }, (attempt) =>
        this.#holds(key, length, checksum, attempt.signal),
      );
    } catch {
      return false; // The outcome stays unknown.
    }
  }
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}
