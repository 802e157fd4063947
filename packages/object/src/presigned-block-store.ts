/**
 * Blocks in a bucket by URLs that the server signs, for clients without credentials: the server sees which blocks, never their bytes.
 *
 * A URL to put is good for one block's length and checksum, while nothing is there. What is there already is compared, so that a repeat
 * after a lost answer counts as written. A URL that the store refuses is asked for once more: it may have expired on its way.
 */
import { NokvError, blockKey, systemClock, systemRandom, type Clock, type Random, type SignedRequest, type UploadId } from '@nokv/types';
import { crc32c, formatCrc32c } from './block-checksum.js';
import type { BlockStore, GetBlockOptions, PutBlockOptions } from './block-store.js';
import { type HttpAnswer } from './http/http-call.js';
import { HttpEndpoint } from './http/http-endpoint.js';
import { retryAfterMs, translateHttpFailure } from './http/http-errors.js';
import { parseNamespaceMarker } from './namespace-marker.js';
import type { StoreCallOptions } from './object-store.js';
import { checkRange, noObject, shortObject } from './object-key.js';
import { RETRY_POLICY_DEFAULT, Retries, TryAgain, type RetryPolicy } from './retries.js';
import { parseErrorBody, translateRefusal } from './s3/s3-errors.js';
import { SignedUrls, type UrlSigner } from './signed-urls.js';

export interface PresignedBlockStoreOptions {
  /** For people: the bucket. */
  readonly description: string;
  readonly signer: UrlSigner;
  /** Authorities (PEM) that are trusted; default: the usual ones. */
  readonly certificates?: readonly string[] | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
}

const IDLE_MS = 20_000;
const ANSWER_BYTES_MAX = 64 * 1024;
/** Buckets have one origin, or two while a deployment moves. */
const ENDPOINTS_MAX = 4;
/** Whether the bucket can be reached is found out before anybody needs it much. */
const PROBE_RETRY: Partial<RetryPolicy> = { attemptsMax: 2, deadlineMs: 5000 };

export function presignedBlockStore(options: PresignedBlockStoreOptions): BlockStore {
  return new PresignedBlockStore(options);
}

/** The marker of the namespace whose store the URL leads to. Errors: `store-unavailable` (the bucket cannot be reached from here). */
export async function readSignedMarker(
  url: string,
  description: string,
  options: Pick<PresignedBlockStoreOptions, 'clock' | 'random' | 'certificates'> & StoreCallOptions,
): Promise<string> {
  const { clock = systemClock, random = systemRandom, certificates, signal: callers } = options;
  const exchanges = new SignedExchanges(description, clock, certificates);
  try {
    const retries = new Retries({ ...RETRY_POLICY_DEFAULT, ...PROBE_RETRY }, clock, random);
    return await retries.run(`${description}: look for the bucket`, callers, async ({ signal }) => {
      const answer = await exchanges.send('GET', { url, headers: [] }, { signal });
      if (answer.status !== 200) throw exchanges.refusal(answer, 'read the namespace marker', false);
      return parseNamespaceMarker(answer.body, description);
    });
  } finally {
    exchanges.close();
  }
}

class PresignedBlockStore implements BlockStore {
  readonly description: string;
  readonly #urls: SignedUrls;
  readonly #exchanges: SignedExchanges;
  readonly #retries: Retries;

  constructor(options: PresignedBlockStoreOptions) {
    const { clock = systemClock, random = systemRandom } = options;
    this.description = `${options.description} by signed URLs`;
    this.#urls = new SignedUrls(options.signer, clock);
    this.#exchanges = new SignedExchanges(options.description, clock, options.certificates);
    this.#retries = new Retries({ ...RETRY_POLICY_DEFAULT, ...options.retry }, clock, random);
  }

  putBlock(upload: UploadId, index: number, bytes: Uint8Array, options: PutBlockOptions): Promise<void> {
    const { ticket, crc32c: checksum } = options;
    if (ticket === undefined)
      throw new NokvError('invalid-argument', 'expected the ticket of the upload for a put by signed URL, found none');
    const doing = `write block ${upload}/${index}`;
    let isRefused = false;
    return this.#retries.run(`${this.description}: ${doing}`, options.signal, async ({ signal }) => {
      const signed = await this.#urls.toPut({ upload, index, ticket, length: bytes.length, crc32c: checksum }, signal);
      const answer = await this.#exchanges.send('PUT', signed, { signal, body: bytes });
      if (answer.status === 200 || answer.status === 201) return;
      if (answer.status === 412) return this.#checkSame(upload, index, bytes.length, checksum, signal);
      const refusal = this.#exchanges.refusal(answer, doing, true);
      if (answer.status !== 403 || isRefused) throw refusal;
      isRefused = true;
      throw new TryAgain(refusal instanceof TryAgain ? refusal.error : (refusal as NokvError));
    });
  }

  getBlock(upload: UploadId, index: number, offset: number, length: number, options: GetBlockOptions = {}): Promise<Uint8Array> {
    checkRange(offset, length);
    if (length === 0) return Promise.resolve(new Uint8Array(0));
    let isRefused = false;
    return this.#retries.run(`${this.description}: read block ${upload}/${index}`, options.signal, async ({ signal }) => {
      const answer = await this.#get(upload, index, offset, length, signal, options.into);
      if (answer.status !== 403 || isRefused) return this.#bytesOf(answer, blockKey(upload, index), offset, length);
      isRefused = true;
      this.#urls.forget({ upload, index });
      throw new TryAgain(this.#exchanges.refusal(answer, `read block ${upload}/${index}`, false) as NokvError);
    });
  }

  async close(): Promise<void> {
    this.#exchanges.close();
  }

  async #get(upload: UploadId, index: number, offset: number, length: number, signal: AbortSignal, into?: Uint8Array): Promise<HttpAnswer> {
    const signed = await this.#urls.toGet({ upload, index }, signal);
    const range = `bytes=${offset}-${offset + length - 1}`;
    return this.#exchanges.send('GET', signed, { signal, range, answerBytes: length, into });
  }

  #bytesOf(answer: HttpAnswer, key: string, offset: number, length: number): Uint8Array {
    const { status, body } = answer;
    if (status === 404 && (parseErrorBody(body).code ?? 'NoSuchKey') === 'NoSuchKey') throw noObject(key, this.description);
    if (status === 416) throw shortObject(key, `at least ${offset + length}`, offset);
    if (status !== 200 && status !== 206) throw this.#exchanges.refusal(answer, `read ${key}`, false);
    // A server that ignores ranges sends the whole object.
    const bytes = status === 200 ? body.subarray(offset, offset + length) : body;
    if (bytes.length > length)
      throw new TryAgain(
        new NokvError('store-unavailable', `${this.description}: expected ${length} bytes of ${key}, found ${bytes.length}`),
      );
    if (bytes.length < length) throw shortObject(key, `at least ${offset + length}`, offset + bytes.length);
    return bytes;
  }

  /** A repeat of a put finds its own bytes; one byte more than ours would show a longer block. */
  async #checkSame(upload: UploadId, index: number, length: number, checksum: number, signal: AbortSignal): Promise<void> {
    const key = blockKey(upload, index);
    const answer = await this.#get(upload, index, 0, length + 1, signal);
    // 416: what is there is empty.
    const isRead = answer.status === 200 || answer.status === 206 || answer.status === 416;
    if (!isRead) throw this.#exchanges.refusal(answer, `compare ${key}`, true);
    if (answer.status !== 416 && answer.body.length === length && crc32c(answer.body) === checksum) return;
    throw new NokvError(
      'corrupt',
      `block ${key}: expected ${length} bytes with crc32c ${formatCrc32c(checksum)}, found another block; upload under a fresh index`,
      { details: { key } },
    );
  }
}

interface SendOptions {
  readonly signal: AbortSignal;
  readonly body?: Uint8Array;
  readonly range?: string;
  readonly answerBytes?: number;
  readonly into?: Uint8Array | undefined;
}

/** Single requests over kept-alive connections, and what their refusals mean. */
class SignedExchanges {
  readonly #where: string;
  readonly #clock: Clock;
  readonly #certificates: readonly string[] | undefined;
  readonly #endpoints = new Map<string, HttpEndpoint>();

  constructor(where: string, clock: Clock, certificates: readonly string[] | undefined) {
    this.#where = where;
    this.#clock = clock;
    this.#certificates = certificates;
  }

  async send(method: 'GET' | 'PUT', { url, headers }: Pick<SignedRequest, 'url' | 'headers'>, options: SendOptions): Promise<HttpAnswer> {
    const { signal, body, range, answerBytes = 0, into } = options;
    const to = parseUrl(url, this.#where);
    try {
      return await this.#endpoint(to).exchange({
        method,
        path: `${to.pathname}${to.search}`,
        headers: {
          host: to.host,
          ...Object.fromEntries(headers.map(({ name, value }) => [name, value])),
          ...(body === undefined ? {} : { 'content-length': String(body.length) }),
          ...(range === undefined ? {} : { range }),
        },
        body,
        signal,
        idleMs: IDLE_MS,
        into,
        answerBytesMax: Math.max(answerBytes, ANSWER_BYTES_MAX),
      });
    } catch (error) {
      throw translateHttpFailure(error, `${this.#where} by signed URL`, method === 'PUT');
    }
  }

  refusal(answer: HttpAnswer, doing: string, isWrite: boolean): Error {
    const { status, headers, body } = answer;
    const delay = retryAfterMs(headers['retry-after'], this.#clock.nowMs());
    return translateRefusal({ status, ...parseErrorBody(body), retryAfterMs: delay }, `${this.#where} by signed URL`, doing, isWrite);
  }

  close(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    this.#endpoints.clear();
  }

  #endpoint(url: URL): HttpEndpoint {
    const known = this.#endpoints.get(url.origin);
    if (known !== undefined) return known;
    if (this.#endpoints.size >= ENDPOINTS_MAX) this.close();
    const endpoint = new HttpEndpoint(url, { certificates: this.#certificates });
    this.#endpoints.set(url.origin, endpoint);
    return endpoint;
  }
}

function parseUrl(url: string, where: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return parsed;
  throw new NokvError('store-unavailable', `${where}: expected a signed URL of http or https from the server, found another`);
}
