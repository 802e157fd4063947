/**
 * The HTTP port: health, readiness, metrics and signed block access. Whatever it cannot do is answered with the error
 * object of `types` as JSON. Reads are GETs, mutations never are.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HTTP_STATUS, NokvError, toNokvError } from '@nokv/types';
import { formatHostPort, parseBindAddress } from '../bind-address.js';
import type { Logger } from '../logger.js';

export interface HttpRequest {
  readonly method: string;
  /** Decoded path without the query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** The whole body, refused with `too-large` beyond `bytesMax`. */
  body(bytesMax: number): Promise<Uint8Array>;
  /** Fires when the client went away. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Called when the answer has left, or cannot: what was held for it is free. */
  readonly release?: () => void;
}

export interface HttpRoute {
  /** Matches a whole path, or everything below when it ends in `/`. */
  readonly path: string;
  readonly methods: Readonly<Record<string, (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>>>;
}

export interface HttpListener {
  /** `host:port` as bound. */
  readonly address: string;
  readonly connections: number;
  /** No new connections; what is under way ends within `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export interface HttpOptions {
  readonly routes: readonly HttpRoute[];
  readonly log: Logger;
  readonly onAnswer: (route: string, elapsedMs: number, error: NokvError | undefined) => void;
  readonly monotonicMs: () => number;
}

const CONNECTIONS_MAX = 512;
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
/** For one request with its body: a block of 4 MiB at 70 KiB/s. */
const REQUEST_TIMEOUT_MS = 60_000;

export async function listenHttp(address: string, options: HttpOptions): Promise<HttpListener> {
  const bind = parseBindAddress('--http', address);
  if (bind.kind === 'unix') {
    throw new NokvError('bad-configuration', `expected --http host:port, found "${address}"; browsers and signed block URLs need a port`);
  }
  const server = createServer(
    { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, noDelay: true },
    (message, response) => {
      void serve(message, response, options);
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.once('close', () => (connections -= 1));
  });
  await listen(server, bind.host, bind.port, address);
  const bound = server.address() as AddressInfo;
  return {
    address: formatHostPort(bind.host, bound.port),
    get connections() {
      return connections;
    },
    close: (graceMs) => close(server, graceMs),
  };
}

async function serve(message: IncomingMessage, response: ServerResponse, options: HttpOptions): Promise<void> {
  const startMs = options.monotonicMs();
  let failure: NokvError | undefined;
  let answer: HttpAnswer;
  let routePath = 'none';
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    const path = decodePath(message.url ?? '/');
    const route = options.routes.find((each) => (each.path.endsWith('/') ? path.startsWith(each.path) : path === each.path));
    if (route === undefined)
      throw new NokvError('not-found', `there is nothing at ${path}; see /healthz, /readyz, /metrics and /objects/<upload>/<index>`);
    routePath = route.path;
    const method = message.method ?? 'GET';
    const handler = route.methods[method];
    if (handler === undefined) {
      answer = methodNotAllowed(method, route);
    } else {
      answer = await handler({
        method,
        path,
        headers: message.headers,
        body: (bytesMax) => readBody(message, bytesMax),
        signal: gone.signal,
      });
    }
  } catch (error) {
    failure = toNokvError(error);
    if (failure.kind === 'internal')
      options.log.error({ route: routePath, error: failure.toRecord(), cause: String(failure.cause ?? '') }, 'http');
    answer = errorAnswer(failure);
  }
  options.onAnswer(routePath, options.monotonicMs() - startMs, failure);
  if (answer.release !== undefined) response.once('close', answer.release);
  if (response.destroyed) return answer.release?.();
  // What was not read of a refused body would be taken for the next request.
  const mustClose = !message.complete && message.method !== 'GET' && message.method !== 'HEAD';
  const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : (answer.body ?? new Uint8Array());
  response.writeHead(answer.status, {
    ...answer.headers,
    'content-length': String(body.length),
    ...(mustClose ? { connection: 'close' } : {}),
  });
  response.end(body);
}

export function errorAnswer(error: NokvError): HttpAnswer {
  return {
    status: HTTP_STATUS[error.kind],
    headers: { 'content-type': 'application/json' },
    body: `${JSON.stringify(error.toRecord())}\n`,
  };
}

export function textAnswer(status: number, text: string, type = 'text/plain; charset=utf-8'): HttpAnswer {
  return { status, headers: { 'content-type': type, 'cache-control': 'no-store' }, body: text };
}

function methodNotAllowed(method: string, route: HttpRoute): HttpAnswer {
  const allowed = Object.keys(route.methods).join(', ');
  const error = new NokvError('unsupported', `expected ${allowed} for ${route.path}, found ${method}`);
  return { ...errorAnswer(error), status: 405, headers: { 'content-type': 'application/json', allow: allowed } };
}

function decodePath(url: string): string {
  const end = url.indexOf('?');
  const raw = end < 0 ? url : url.slice(0, end);
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new NokvError('invalid-path', `expected a path in URL encoding, found ${JSON.stringify(raw.slice(0, 200))}`);
  }
}

async function readBody(message: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const tooLarge = (found: string): NokvError => new NokvError('too-large', `expected a body of at most ${bytesMax} bytes, found ${found}`);
  const stated = Number(message.headers['content-length'] ?? Number.NaN);
  if (stated > bytesMax) throw tooLarge(String(stated));
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bytesMax) throw tooLarge('more');
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof NokvError) throw error;
    throw new NokvError('connection-lost', 'the client went away in the middle of its body', { cause: error });
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length);
}

function listen(server: Server, host: string, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'another process has it' : error.message;
      reject(
        new NokvError('bad-configuration', `cannot listen on --http ${address}: ${reason}; give another port (0 picks a free one)`, {
          cause: error,
        }),
      );
    });
    server.listen(port, host, () => resolve());
  });
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
