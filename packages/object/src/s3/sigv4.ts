/**
 * AWS Signature Version 4 for single requests, with the payload hash given by the caller
 * (Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)").
 */
import { createHash, createHmac } from 'node:crypto';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Temporary keys end then. */
  readonly expiresAtMs?: number;
}

export interface RequestToSign {
  readonly method: string;
  /** Encoded as it is sent. */
  readonly path: string;
  /** Decoded names and values. */
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Lower-case names, `host` included; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lower-case hex sha256 of the payload, or `UNSIGNED-PAYLOAD`. */
  readonly payloadHash: string;
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
/** The longest that a signed query may be valid. */
export const PRESIGN_SEC_MAX = 7 * 24 * 3600;
const ALGORITHM = 'AWS4-HMAC-SHA256';

/** Holds the day's signing key, so that a request costs one digest and one HMAC. */
export class SigV4Signer {
  readonly #region: string;
  readonly #service: string;
  #key: { readonly day: string; readonly secret: string; readonly bytes: Buffer } | undefined;

  constructor(region: string, service = 's3') {
    this.#region = region;
    this.#service = service;
  }

  /** The headers to send: those given, with date, payload hash, session token and authorization. */
  sign(request: RequestToSign, credentials: S3Credentials, nowMs: number): Record<string, string> {
    const time = amzTime(nowMs);
    const headers: Record<string, string> = { ...request.headers, 'x-amz-date': time, 'x-amz-content-sha256': request.payloadHash };
    if (credentials.sessionToken !== undefined) headers['x-amz-security-token'] = credentials.sessionToken;
    const scope = this.#scope(time);
    const signature = this.#signature({ ...request, headers }, credentials, time);
    headers['authorization'] =
      `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signedNames(headers)}, Signature=${signature}`;
    return headers;
  }

  /**
   * The query that lets whoever has it make this one request, with these headers, for `expiresSec` seconds
   * ("Authenticating Requests: Using Query Parameters"). The session token is part of it.
   */
  presign(request: RequestToSign, credentials: S3Credentials, nowMs: number, expiresSec: number): Record<string, string> {
    const time = amzTime(nowMs);
    const query: Record<string, string> = {
      ...request.query,
      'X-Amz-Algorithm': ALGORITHM,
      'X-Amz-Credential': `${credentials.accessKeyId}/${this.#scope(time)}`,
      'X-Amz-Date': time,
      'X-Amz-Expires': String(expiresSec),
      'X-Amz-SignedHeaders': signedNames(request.headers),
    };
    if (credentials.sessionToken !== undefined) query['X-Amz-Security-Token'] = credentials.sessionToken;
    query['X-Amz-Signature'] = this.#signature({ ...request, query }, credentials, time);
    return query;
  }

  #signature(request: RequestToSign, { secretAccessKey }: S3Credentials, time: string): string {
    const digest = createHash('sha256').update(canonicalRequest(request)).digest('hex');
    return hmac(this.#signingKey(time.slice(0, 8), secretAccessKey), `${ALGORITHM}\n${time}\n${this.#scope(time)}\n${digest}`).toString(
      'hex',
    );
  }

  #scope(time: string): string {
    return `${time.slice(0, 8)}/${this.#region}/${this.#service}/aws4_request`;
  }

  #signingKey(day: string, secret: string): Buffer {
    if (this.#key?.day === day && this.#key.secret === secret) return this.#key.bytes;
    const bytes = [this.#region, this.#service, 'aws4_request'].reduce(hmac, hmac(`AWS4${secret}`, day));
    this.#key = { day, secret, bytes };
    return bytes;
  }
}

export function canonicalRequest({ method, path, query = {}, headers, payloadHash }: RequestToSign): string {
  const lines = Object.keys(headers)
    .sort()
    .map((name) => `${name}:${(headers[name] ?? '').trim().replace(/\s+/g, ' ')}`);
  return [method, path, canonicalQuery(query), ...lines, '', signedNames(headers), payloadHash].join('\n');
}

function signedNames(headers: Readonly<Record<string, string>>): string {
  return Object.keys(headers).sort().join(';');
}

/** `20130524T000000Z` */
function amzTime(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** Everything but the unreserved characters of RFC 3986 is percent-encoded. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function encodePath(path: string): string {
  return path.split('/').map(encodeSegment).join('/');
}

/** Sorted by encoded name, not by the whole pair (`=` sorts behind digits and dashes); also what goes on the wire. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encodeSegment(name), encodeSegment(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
