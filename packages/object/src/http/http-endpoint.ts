/**
 * Plain HTTP exchanges with one server over kept-alive connections: whole bodies both ways, a known length always.
 * Knows nothing of stores; what goes wrong is told as {@link HttpFailure} with whether the request can have arrived.
 */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import type { Socket } from 'node:net';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface HttpCall {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  /** Path and query, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Longest silence of the connection. */
  readonly idleMs: number;
  /** A longer answer is refused before it is read. */
  readonly answerBytesMax: number;
  /** Filled with the answer's body where it fits and the status is 2xx. */
  readonly into?: Uint8Array | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpEndpointOptions {
  readonly socketPath?: string | undefined;
  /** Authorities (PEM) that are trusted; default: the usual ones. */
  readonly certificates?: readonly string[] | undefined;
}

export type HttpFailureKind = 'unreachable' | 'broken' | 'idle' | 'oversize' | 'aborted';

export class HttpFailure extends Error {
  override readonly name = 'HttpFailure';
  /** `unreachable`: nothing was sent. The others: the server may have acted. */
  readonly kind: HttpFailureKind;
  readonly errno: string | undefined;

  constructor(kind: HttpFailureKind, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.kind = kind;
    this.errno = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  }
}

/** Connections kept per server; more calls at once than this queue for one. */
const SOCKETS_MAX = 64;
const CONNECT_MS = 5000;
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'ENOENT', 'EACCES']);

export class HttpEndpoint {
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #target: RequestOptions;
  readonly #request: (options: RequestOptions) => ClientRequest;

  /** @param url scheme, host and port count; the rest is given with each call. */
  constructor(url: URL, { socketPath, certificates }: HttpEndpointOptions = {}) {
    const secure = url.protocol === 'https:';
    const options = { keepAlive: true, maxSockets: SOCKETS_MAX, scheduling: 'lifo' } as const;
    const ca = certificates === undefined ? {} : { ca: [...certificates] };
    this.#agent = secure ? new HttpsAgent({ ...options, ...ca }) : new HttpAgent(options);
    this.#request = secure ? httpsRequest : httpRequest;
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    this.#target = socketPath === undefined ? { host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port) } : { socketPath };
  }

  exchange(call: HttpCall): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const { method, path, headers, body, signal, idleMs } = call;
      const request = this.#request({ ...this.#target, agent: this.#agent, method, path, headers, setHost: false, signal });
      request.setTimeout(idleMs, () => request.destroy(new HttpFailure('idle', new Error(`no answer for ${idleMs} ms`))));
      request.on('socket', (socket) => limitConnecting(request, socket));
      request.on('response', (response) => receive(call, response).then(resolve, reject));
      request.on('error', (error) => reject(failureOf(error, signal)));
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The silence of a call is measured from the connection on; a host that answers nothing at all must not cost more. */
function limitConnecting(request: ClientRequest, socket: Socket): void {
  if (!socket.connecting) return;
  const late = (): void => void request.destroy(new HttpFailure('unreachable', new Error(`no connection within ${CONNECT_MS} ms`)));
  const timer = setTimeout(late, CONNECT_MS);
  const done = (): void => clearTimeout(timer);
  socket.once('connect', done);
  socket.once('close', done);
}

function receive(call: HttpCall, response: IncomingMessage): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const stated = response.headers['content-length'];
    const expected = stated === undefined || call.method === 'HEAD' ? undefined : Number(stated);
    const fail = (error: HttpFailure): void => {
      response.destroy();
      reject(error);
    };
    const tooLong = (): void => fail(new HttpFailure('oversize', new Error(`expected an answer of at most ${call.answerBytesMax} bytes`)));
    if (expected !== undefined && expected > call.answerBytesMax) return tooLong();
    const status = response.statusCode ?? 0;
    const body = new BodyBuffer(expected, status < 300 ? call.into : undefined);
    response.on('data', (chunk: Buffer) => {
      if (body.length + chunk.length > (expected ?? call.answerBytesMax)) tooLong();
      else body.append(chunk);
    });
    response.on('error', (error) => reject(failureOf(error, call.signal)));
    response.on('end', () => {
      if (expected !== undefined && body.length !== expected)
        fail(new HttpFailure('broken', new Error(`the answer ended after ${body.length} of ${expected} bytes`)));
      else resolve({ status, headers: response.headers, body: body.take() });
    });
  });
}

/** Collects a body: in one piece from the start where its length is known. */
class BodyBuffer {
  readonly #whole: Uint8Array | undefined;
  readonly #chunks: Buffer[] = [];
  length = 0;

  constructor(expected: number | undefined, into: Uint8Array | undefined) {
    if (expected === undefined) return;
    this.#whole = into !== undefined && into.length >= expected ? into.subarray(0, expected) : Buffer.allocUnsafeSlow(expected);
  }

  append(chunk: Buffer): void {
    if (this.#whole === undefined) this.#chunks.push(chunk);
    else this.#whole.set(chunk, this.length);
    this.length += chunk.length;
  }

  take(): Buffer {
    if (this.#whole === undefined) return Buffer.concat(this.#chunks, this.length);
    return Buffer.from(this.#whole.buffer, this.#whole.byteOffset, this.length);
  }
}

function failureOf(error: Error, signal: AbortSignal | undefined): HttpFailure {
  if (error instanceof HttpFailure) return error;
  if (signal?.aborted === true) return new HttpFailure('aborted', error);
  const code = 'code' in error ? String(error.code) : '';
  const connecting = 'syscall' in error && error.syscall === 'connect';
  return new HttpFailure(UNREACHABLE.has(code) || connecting || isTlsFailure(code) ? 'unreachable' : 'broken', error);
}

/** Of OpenSSL and of Node's own check of the host name. */
export function isTlsFailure(code: string): boolean {
  return code.startsWith('ERR_TLS') || code.startsWith('CERT_') || code.includes('_CERT') || code === 'EPROTO';
}
