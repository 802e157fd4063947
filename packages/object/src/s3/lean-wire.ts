/** Our own signature over kept-alive HTTP: a tenth of what a request through the SDK costs. */
import { HttpEndpoint } from '../http/http-endpoint.js';
import { parseErrorBody } from './s3-errors.js';
import type { S3Signing } from './s3-signing.js';
import type { S3Answer, S3Request, S3Wire, WireOptions } from './s3-wire.js';
import { canonicalQuery } from './sigv4.js';

const ANSWER_BYTES_MAX = 1024 * 1024;

export function leanWire(signing: S3Signing, { certificates, idleMs }: WireOptions): S3Wire {
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
      idleMs,
      into: request.into,
      answerBytesMax: Math.max(request.answerBytesMax ?? 0, ANSWER_BYTES_MAX),
    });
    return { ...answer, said: answer.status < 300 ? {} : parseErrorBody(answer.body) };
  }

  return { exchange, close: async () => endpoint.close() };
}
