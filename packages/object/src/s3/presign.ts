/**
 * URLs that let somebody without keys make one request: put one object if it is absent, or get one.
 *
 * What a put may store is part of the signature: `If-None-Match: *`, the length and the crc32c where they are known. Whoever has the URL
 * can send these bytes or none, and nothing over what is there already. A URL is a secret until it expires.
 */
import { assert } from '@nokv/types';
import { crc32cToBase64 } from '../block-checksum.js';
import { checkKey } from '../object-key.js';
import { putHeaders } from './s3-put-headers.js';
import type { S3Signing } from './s3-signing.js';
import { PRESIGN_SEC_MAX, canonicalQuery } from './sigv4.js';

export interface PresignedRequest {
  readonly method: 'GET' | 'PUT';
  readonly url: string;
  /** To be sent as they are; `range` may be added to a get. */
  readonly headers: Readonly<Record<string, string>>;
  /** By the store's clock; never later than the end of the keys that signed it. */
  readonly expiresAtMs: number;
}

export interface PresignedPut {
  readonly crc32c?: number | undefined;
  readonly length?: number | undefined;
}

export interface S3Presigner {
  /** Answers: 200 stored, 412 there is an object already, 400 the bytes are not those of the checksum, 403 expired or altered. */
  put(key: string, put: PresignedPut, ttlMs: number): Promise<PresignedRequest>;
  /** Answers: 200 or 206, 404, 403. */
  get(key: string, ttlMs: number): Promise<PresignedRequest>;
}

export function s3Presigner(signing: S3Signing): S3Presigner {
  const { prefix } = signing.location;

  async function presign(method: 'GET' | 'PUT', name: string, headers: Record<string, string>, ttlMs: number): Promise<PresignedRequest> {
    checkKey(name);
    assert(ttlMs >= 1000, 'a signed URL lives for a second at least');
    const key = prefix === '' ? name : `${prefix}/${name}`;
    const expiresSec = Math.min(Math.floor(ttlMs / 1000), PRESIGN_SEC_MAX);
    const { query, expiresAtMs } = await signing.presign({ method, key, headers }, expiresSec);
    return { method, url: `${signing.origin.origin}${signing.pathOf(key)}?${canonicalQuery(query)}`, headers, expiresAtMs };
  }

  return {
    put: (key, { crc32c, length }, ttlMs) => {
      const headers = {
        ...putHeaders(signing.location),
        ...(crc32c === undefined ? {} : { 'x-amz-checksum-crc32c': crc32cToBase64(crc32c) }),
        ...(length === undefined ? {} : { 'content-length': String(length) }),
      };
      return presign('PUT', key, headers, ttlMs);
    },
    get: (key, ttlMs) => presign('GET', key, {}, ttlMs),
  };
}
