/** What an exchange with an HTTP server is asked, what it answers, and how it fails. */
import type { IncomingHttpHeaders } from 'node:http';

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
export const SOCKETS_MAX = 64;
/** The silence of a call is measured from the connection on; a host that answers nothing at all must not cost more. */
export const CONNECT_MS = 5000;
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'ENOENT', 'EACCES']);

export function failureOf(error: Error, signal: AbortSignal | undefined): HttpFailure {
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

export function noConnection(): HttpFailure {
  return new HttpFailure('unreachable', new Error(`no connection within ${CONNECT_MS} ms`));
}

export function noAnswer(idleMs: number): HttpFailure {
  return new HttpFailure('idle', new Error(`no answer for ${idleMs} ms`));
}

export function tooLongAnswer(bytesMax: number): HttpFailure {
  return new HttpFailure('oversize', new Error(`expected an answer of at most ${bytesMax} bytes`));
}

export function cutAnswer(bytes: number, expected: number): HttpFailure {
  return new HttpFailure('broken', new Error(`the answer ended after ${bytes} of ${expected} bytes`));
}
