/** Signed single requests to one bucket: the lean way for blocks. One attempt; refusals come back as answers. */
import { HttpEndpoint, type HttpAnswer } from '../http/http-endpoint.js';
import { retryAfterMs, translateHttpFailure } from '../http/http-errors.js';
import { parseErrorBody, translateRefusal } from './s3-errors.js';
import { describeS3, type S3Location } from './s3-location.js';
import type { S3Signing } from './s3-signing.js';
import { canonicalQuery } from './sigv4.js';

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  /** Undefined: the bucket itself. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  readonly answerBytesMax?: number | undefined;
  readonly into?: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

/** Longest silence before a connection is given up. */
const IDLE_MS = 20_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

export class S3Requests {
  readonly location: S3Location;
  readonly #signing: S3Signing;
  readonly #endpoint: HttpEndpoint;

  constructor(signing: S3Signing) {
    this.location = signing.location;
    this.#signing = signing;
    this.#endpoint = new HttpEndpoint(signing.origin);
  }

  async send(request: S3Request): Promise<HttpAnswer> {
    const { method, key, query, body, signal } = request;
    const path = this.#signing.pathOf(key);
    const headers = body === undefined ? request.headers : { ...request.headers, 'content-length': String(body.length) };
    const signed = await this.#signing.sign({ method, key, query, headers });
    try {
      return await this.#endpoint.exchange({
        method,
        path: query === undefined ? path : `${path}?${canonicalQuery(query)}`,
        headers: signed,
        body,
        signal,
        idleMs: IDLE_MS,
        into: request.into,
        answerBytesMax: Math.max(request.answerBytesMax ?? 0, ANSWER_BYTES_MAX),
      });
    } catch (error) {
      throw translateHttpFailure(error, describeS3(this.location), method === 'PUT');
    }
  }

  /** What an answer that is none of the expected ones means. */
  refusal(answer: HttpAnswer, doing: string, isWrite: boolean): Error {
    const { status, headers } = answer;
    const region = headers['x-amz-bucket-region'];
    return translateRefusal(
      {
        status,
        ...parseErrorBody(answer.body),
        region: typeof region === 'string' ? region : undefined,
        retryAfterMs: retryAfterMs(headers['retry-after'], this.#signing.nowMs()),
      },
      describeS3(this.location),
      doing,
      isWrite,
    );
  }

  close(): void {
    this.#endpoint.close();
  }
}
