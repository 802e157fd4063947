/** Our own signature over kept-alive HTTP: a tenth of what a request through the SDK costs. */
import { HttpEndpoint } from '../http/http-endpoint.js';
import { parseErrorBody } from './s3-errors.js';
import type { S3Signing } from './s3-signing.js';
import type { S3Answer, S3Request, S3Wire } from './s3-wire.js';
import { canonicalQuery } from './sigv4.js';

/** Longest silence before a connection is given up. */
const IDLE_MS = 20_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

export function leanWire(signing: S3Signing, certificates: readonly string[] | undefined): S3Wire {
  let endpoint = new HttpEndpoint(signing.origin, { certificates });
  let origin = signing.origin;

  function endpointNow(): HttpEndpoint {
    if (origin.href !== signing.origin.href) {
      endpoint.close();
      origin = signing.origin;
      endpoint = new HttpEndpoint(origin, { certificates });
    }
    return endpoint;
  }

  async function exchange(request: S3Request): Promise<S3Answer> {
    const { method, key, query, body, signal } = request;
    const path = signing.pathOf(key);
    const headers = body === undefined ? request.headers : { ...request.headers, 'content-length': String(body.length) };
    const answer = await endpointNow().exchange({
      method,
      path: query === undefined ? path : `${path}?${canonicalQuery(query)}`,
      headers: await signing.sign({ method, key, query, headers }),
      body,
      signal,
      idleMs: IDLE_MS,
      into: request.into,
      answerBytesMax: Math.max(request.answerBytesMax ?? 0, ANSWER_BYTES_MAX),
    });
    return { ...answer, said: answer.status < 300 ? {} : parseErrorBody(answer.body) };
  }

  return { exchange, close: async () => endpoint.close() };
}
