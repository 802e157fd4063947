/** The head of an HTTP/1.1 answer (RFC 9112): status line and fields, as far as a client needs them that only reads bodies of known length. */
import type { IncomingHttpHeaders } from 'node:http';

/** A longer head is refused. */
export const HEAD_BYTES_MAX = 64 * 1024;

export interface ResponseHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Of the body; undefined where its end is said otherwise: chunks, or the end of the connection. */
  readonly contentLength: number | undefined;
  readonly keepsAlive: boolean;
  /** Where the body begins in the bytes that were parsed. */
  readonly end: number;
}

const BODILESS = new Set([204, 304]);

/** @returns undefined while the head is not whole. Throws `Error` for what is no HTTP/1.x. */
export function parseResponseHead(bytes: Buffer): ResponseHead | undefined {
  const at = bytes.indexOf('\r\n\r\n', 0, 'latin1');
  if (at < 0) {
    if (bytes.length >= HEAD_BYTES_MAX) throw new Error(`the head of the answer has more than ${HEAD_BYTES_MAX} bytes`);
    return undefined;
  }
  const [first = '', ...lines] = bytes.toString('latin1', 0, at).split('\r\n');
  const match = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/.exec(first);
  if (match === null) throw new Error(`expected an HTTP answer, found ${JSON.stringify(first.slice(0, 40))}`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`expected a header field, found ${JSON.stringify(line.slice(0, 40))}`);
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers[name];
    headers[name] = before === undefined || before === value ? value : `${before}, ${value}`;
  }
  const status = Number(match[2]);
  const connection = headers['connection']?.toLowerCase();
  return {
    status,
    headers,
    contentLength: lengthOf(status, headers),
    keepsAlive: match[1] === '1' ? connection !== 'close' : connection === 'keep-alive',
    end: at + 4,
  };
}

function lengthOf(status: number, headers: Readonly<Record<string, string>>): number | undefined {
  if (BODILESS.has(status)) return 0;
  const stated = headers['content-length'];
  if (stated === undefined || headers['transfer-encoding'] !== undefined) return undefined;
  if (!/^\d{1,15}$/.test(stated)) throw new Error(`expected a Content-Length, found ${JSON.stringify(stated.slice(0, 40))}`);
  return Number(stated);
}
