/**
 * Blocks through the server's HTTP port, for clients that reach no store themselves.
 *
 * `PUT <url>/<upload>/<index>` with `authorization: Bearer <ticket>` and `x-nokv-crc32c`: 201 created, 200 the same
 * bytes were there. `GET <url>/<upload>/<index>` with `authorization: Bearer <read token>` and `range`: 206; with `x-nokv-crc32c` the
 * server may answer from its cache. Errors are
 * JSON error records. Repeating a put is harmless, because a block is written once and compared.
 */
import { NokvError, isErrorCode, systemClock, systemRandom, type Clock, type Random, type UploadId } from '@nokv/types';
import { formatCrc32c } from './block-checksum.js';
import type { BlockStore, GetBlockOptions, PutBlockOptions } from './block-store.js';
import { type HttpAnswer } from './http/http-call.js';
import { HttpEndpoint } from './http/http-endpoint.js';
import { retryAfterMs, translateHttpFailure } from './http/http-errors.js';
import { checkRange } from './object-key.js';
import { RETRY_POLICY_DEFAULT, Retries, TryAgain, type Attempt, type RetryPolicy } from './retries.js';

export interface ProxiedBlockStoreOptions {
  /** `http://host:port/objects`. */
  readonly url: string;
  /** Reach the server through this unix socket instead of the URL's host. */
  readonly socketPath?: string | undefined;
  /** Asked before each read; with `refused` after the server turned the last one down. */
  readToken(refused: boolean): string | Promise<string>;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
}

const IDLE_MS = 20_000;
const ERROR_BYTES_MAX = 64 * 1024;

export function proxiedBlockStore(options: ProxiedBlockStoreOptions): BlockStore {
  return new ProxiedBlockStore(options);
}

class ProxiedBlockStore implements BlockStore {
  readonly description: string;
  readonly #endpoint: HttpEndpoint;
  readonly #url: URL;
  readonly #base: string;
  readonly #clock: Clock;
  readonly #retries: Retries;
  readonly #readToken: (refused: boolean) => string | Promise<string>;

  constructor(options: ProxiedBlockStoreOptions) {
    const { clock = systemClock, random = systemRandom } = options;
    this.#url = new URL(options.url);
    this.description = `blocks through ${this.#url.href}`;
    this.#base = this.#url.pathname.replace(/\/$/, '');
    this.#endpoint = new HttpEndpoint(this.#url, { socketPath: options.socketPath });
    this.#clock = clock;
    this.#retries = new Retries({ ...RETRY_POLICY_DEFAULT, ...options.retry }, clock, random);
    this.#readToken = (refused) => options.readToken(refused);
  }

  putBlock(upload: UploadId, index: number, bytes: Uint8Array, options: PutBlockOptions): Promise<void> {
    const { ticket, signal } = options;
    if (ticket === undefined)
      throw new NokvError('invalid-argument', 'expected the ticket of the upload for a put through the server, found none');
    const headers = {
      authorization: `Bearer ${ticket}`,
      'x-nokv-crc32c': formatCrc32c(options.crc32c),
      'content-length': String(bytes.length),
    };
    return this.#retries.run(`${this.description}: write block ${upload}/${index}`, signal, async (attempt) => {
      const answer = await this.#exchange('PUT', upload, index, headers, bytes, 0, attempt);
      if (answer.status !== 200 && answer.status !== 201) throw this.#refusal(answer, true);
    });
  }

  getBlock(upload: UploadId, index: number, offset: number, length: number, options: GetBlockOptions = {}): Promise<Uint8Array> {
    checkRange(offset, length);
    if (length === 0) return Promise.resolve(new Uint8Array(0));
    let isRefused = false;
    return this.#retries.run(`${this.description}: read block ${upload}/${index}`, options.signal, async (attempt) => {
      const headers = {
        authorization: `Bearer ${await this.#readToken(isRefused)}`,
        range: `bytes=${offset}-${offset + length - 1}`,
        ...(options.crc32c === undefined ? {} : { 'x-nokv-crc32c': formatCrc32c(options.crc32c) }),
      };
      const answer = await this.#exchange('GET', upload, index, headers, undefined, length, attempt, options.into);
      if (answer.status === 206 && answer.body.length === length) return answer.body;
      if (answer.status < 300) {
        throw new TryAgain(
          new NokvError(
            'store-unavailable',
            `${this.description}: expected 206 with ${length} bytes, found ${answer.status} with ${answer.body.length}`,
          ),
        );
      }
      const refusal = this.#refusal(answer, false);
      if (refusal instanceof NokvError && refusal.code === 'bad-token' && !isRefused) {
        isRefused = true;
        throw new TryAgain(refusal);
      }
      throw refusal;
    });
  }

  async close(): Promise<void> {
    this.#endpoint.close();
  }

  async #exchange(
    method: 'GET' | 'PUT',
    upload: UploadId,
    index: number,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array | undefined,
    answerBytes: number,
    { signal }: Attempt,
    into?: Uint8Array,
  ): Promise<HttpAnswer> {
    try {
      return await this.#endpoint.exchange({
        method,
        path: `${this.#base}/${upload}/${index}`,
        headers: { host: this.#url.host, ...headers },
        body,
        signal,
        idleMs: IDLE_MS,
        into,
        answerBytesMax: Math.max(answerBytes, ERROR_BYTES_MAX),
      });
    } catch (error) {
      throw translateHttpFailure(error, this.#url.origin, method === 'PUT');
    }
  }

  /** The server's own error, or what the status says when something else answered. */
  #refusal(answer: HttpAnswer, isWrite: boolean): Error {
    const error = parseErrorRecord(answer.body) ?? unknownAnswer(answer, this.description, isWrite);
    const isBusy = answer.status === 503 || answer.status === 429 || answer.status === 502 || answer.status === 504;
    if (!isBusy || error.kind !== 'unavailable' || error.code === 'store-unfit') return error;
    return new TryAgain(error, retryAfterMs(answer.headers['retry-after'], this.#clock.nowMs()));
  }
}

function parseErrorRecord(body: Uint8Array): NokvError | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    if (typeof value !== 'object' || value === null || !('code' in value) || typeof value.code !== 'string' || !isErrorCode(value.code))
      return undefined;
    if (!('message' in value) || typeof value.message !== 'string') return undefined;
    const outcome = 'outcome' in value && value.outcome === 'not-applied' ? 'not-applied' : 'unknown';
    return NokvError.fromRecord({ code: value.code, message: value.message, outcome });
  } catch {
    return undefined;
  }
}

function unknownAnswer({ status }: HttpAnswer, where: string, isWrite: boolean): NokvError {
  return new NokvError('store-unavailable', `${where}: expected an answer of a nokv server, found status ${status}; check the URL`, {
    outcome: isWrite && status >= 500 ? 'unknown' : 'not-applied',
    details: { status },
  });
}
