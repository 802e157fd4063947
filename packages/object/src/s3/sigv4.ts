/**
 * AWS Signature Version 4 for single requests, with the payload hash given by the caller
 * (Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)").
 */
import { createHash, createHmac } from 'node:crypto';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
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
    const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const headers: Record<string, string> = { ...request.headers, 'x-amz-date': time, 'x-amz-content-sha256': request.payloadHash };
    if (credentials.sessionToken !== undefined) headers['x-amz-security-token'] = credentials.sessionToken;
    const names = Object.keys(headers).sort();
    const signed = names.join(';');
    const canonical = [
      request.method,
      request.path,
      canonicalQuery(request.query ?? {}),
      ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/\s+/g, ' ')}`),
      '',
      signed,
      request.payloadHash,
    ].join('\n');
    const scope = `${day}/${this.#region}/${this.#service}/aws4_request`;
    const digest = createHash('sha256').update(canonical).digest('hex');
    const signature = hmac(this.#signingKey(day, credentials.secretAccessKey), `${ALGORITHM}\n${time}\n${scope}\n${digest}`).toString(
      'hex',
    );
    headers['authorization'] =
      `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
    return headers;
  }

  #signingKey(day: string, secret: string): Buffer {
    if (this.#key?.day === day && this.#key.secret === secret) return this.#key.bytes;
    const bytes = [this.#region, this.#service, 'aws4_request'].reduce(hmac, hmac(`AWS4${secret}`, day));
    this.#key = { day, secret, bytes };
    return bytes;
  }
}

/** Everything but the unreserved characters of RFC 3986 is percent-encoded. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function encodePath(path: string): string {
  return path.split('/').map(encodeSegment).join('/');
}

/** Sorted by encoded name; also what goes on the wire. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeSegment(name)}=${encodeSegment(value)}`)
    .sort()
    .join('&');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
