/** Our own signature over kept-alive HTTP: a tenth of what a request through the SDK costs. */
import { HttpEndpoint } from '../http/http-endpoint.js';
import { parseErrorBody } from './s3-errors.js';
import type { S3Signing } from './s3-signing.js';
import type { S3Answer, S3Request, S3Wire, WireOptions } from './s3-wire.js';
import { canonicalQuery } from './sigv4.js';

const ANSWER_BYTES_MAX = 1024 * 1024;

export function leanWire(signing: S3Signing, { certificates, idleMs }: WireOptions): S3Wire {
  const endpoints = new Map<string, HttpEndpoint>();

  /** Another one once the bucket turned out to be elsewhere; calls to the one before may be under way. */
  function endpointNow(): HttpEndpoint {
    const { origin } = signing;
    const known = endpoints.get(origin.href);
    if (known !== undefined) return known;
    const made = new HttpEndpoint(origin, { certificates });
    endpoints.set(origin.href, made);
    return made;
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
      idleMs,
      into: request.into,
      answerBytesMax: Math.max(request.answerBytesMax ?? 0, ANSWER_BYTES_MAX),
    });
    return { ...answer, said: answer.status < 300 ? {} : parseErrorBody(answer.body) };
  }

  return { exchange, close: async () => endpoints.forEach((endpoint) => endpoint.close()) };
}
