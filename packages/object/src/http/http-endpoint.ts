/**
 * Plain HTTP exchanges with one server over kept-alive connections: whole bodies both ways, a known length always.
 * Knows nothing of stores; what goes wrong is told as {@link HttpFailure} with whether the request can have arrived.
 */
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { DirectGets, NotDirect } from './direct-gets.js';
import {
  CONNECT_MS,
  HttpFailure,
  SOCKETS_MAX,
  cutAnswer,
  failureOf,
  noAnswer,
  noConnection,
  tooLongAnswer,
  type HttpAnswer,
  type HttpCall,
} from './http-call.js';

export interface HttpEndpointOptions {
  readonly socketPath?: string | undefined;
  /** Authorities (PEM) that are trusted; default: the usual ones. */
  readonly certificates?: readonly string[] | undefined;
}

export class HttpEndpoint {
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #target: RequestOptions;
  readonly #request: (options: RequestOptions) => ClientRequest;
  /** Undefined where the way is encrypted. */
  readonly #direct: DirectGets | undefined;

  /** @param url scheme, host and port count; the rest is given with each call. */
  constructor(url: URL, { socketPath, certificates }: HttpEndpointOptions = {}) {
    const secure = url.protocol === 'https:';
    const options = { keepAlive: true, maxSockets: SOCKETS_MAX, scheduling: 'lifo' } as const;
    const ca = certificates === undefined ? {} : { ca: [...certificates] };
    this.#agent = secure ? new HttpsAgent({ ...options, ...ca }) : new HttpAgent(options);
    this.#request = secure ? httpsRequest : httpRequest;
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    this.#target = socketPath === undefined ? { host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port) } : { socketPath };
    const { port } = this.#target;
    this.#direct = secure ? undefined : new DirectGets(socketPath === undefined ? { host, port: Number(port) } : { path: socketPath });
  }

  async exchange(call: HttpCall): Promise<HttpAnswer> {
    if (call.method !== 'GET' || this.#direct === undefined) return this.#exchange(call);
    try {
      return await this.#direct.get(call);
    } catch (error) {
      if (error instanceof NotDirect) return this.#exchange(call);
      throw error;
    }
  }

  #exchange(call: HttpCall): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const { method, path, headers, body, signal, idleMs } = call;
      const request = this.#request({ ...this.#target, agent: this.#agent, method, path, headers, setHost: false, signal });
      request.setTimeout(idleMs, () => request.destroy(noAnswer(idleMs)));
      request.on('socket', (socket) => limitConnecting(request, socket));
      request.on('response', (response) => receive(call, response).then(resolve, reject));
      request.on('error', (error) => reject(failureOf(error, signal)));
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
    this.#direct?.close();
  }
}

/** The silence of a call is measured from the connection on; a host that answers nothing at all must not cost more. */
function limitConnecting(request: ClientRequest, socket: Socket): void {
  if (!socket.connecting) return;
  const late = (): void => void request.destroy(noConnection());
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
    const tooLong = (): void => fail(tooLongAnswer(call.answerBytesMax));
    if (expected !== undefined && expected > call.answerBytesMax) return tooLong();
    const status = response.statusCode ?? 0;
    const body = new BodyBuffer(expected, status < 300 ? call.into : undefined);
    response.on('data', (chunk: Buffer) => {
      if (body.length + chunk.length > (expected ?? call.answerBytesMax)) tooLong();
      else body.append(chunk);
    });
    response.on('error', (error) => reject(failureOf(error, call.signal)));
    response.on('end', () => {
      if (expected !== undefined && body.length !== expected) fail(cutAnswer(body.length, expected));
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
