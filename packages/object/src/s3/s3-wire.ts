/** How single requests reach a bucket; signed by us over plain HTTP, or sent by the SDK. One attempt, nothing followed. */
import type { IncomingHttpHeaders } from 'node:http';

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

export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** What the body of a refusal says: code, message, region. */
  readonly said: { readonly code?: string | undefined; readonly message?: string | undefined; readonly region?: string | undefined };
}

export interface WireOptions {
  /** Authorities (PEM) that are trusted; default: the usual ones. */
  readonly certificates: readonly string[] | undefined;
  /** Longest silence before a connection is given up. */
  readonly idleMs: number;
}

export interface S3Wire {
  /** Rejects with {@link HttpFailure} where no whole answer came. */
  exchange(request: S3Request): Promise<S3Answer>;
  close(): Promise<void>;
}
