/**
 * A small S3 endpoint in this process, with scripted faults: for what a real server does not do on demand. It speaks just
 * what the adapter uses (conditional PUT, ranged GET, HEAD, list, bulk delete), checks no signatures, and keeps exact
 * conditional semantics unless it is told to cheat. Region, clock and keys it checks where it is told to.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { crc32c, crc32cToBase64 } from '../block-checksum.js';
import { compareKeys } from '../object-key.js';
import { S3FaultScript, readBody, type S3Answer, type S3Fault } from './s3-faults.js';

export interface S3DoubleOptions {
  /**
   * `ignored`: answers every PUT with 200 and overwrites, as servers do that do not know `If-None-Match`. `one-at-a-time`: looks, and
   * writes a moment later, so that of many at once several win. Default: `exact`.
   */
  readonly conditions?: 'exact' | 'ignored' | 'one-at-a-time';
  /** Keeps no checksums, as some servers. */
  readonly keepNoChecksums?: boolean;
  /** Keeps the bytes of a PUT whatever its checksum says. */
  readonly checkNoChecksums?: boolean;
  /** Answers every GET with the whole object. */
  readonly ignoreRanges?: boolean;
  /** Shows what was written only with the second listing. */
  readonly listLate?: boolean;
  /** Says that it deleted, and does not. */
  readonly deleteNothing?: boolean;
  /** Requests that are signed for another are told this one. */
  readonly region?: string;
  /** Requests that are signed 15 minutes before or after are refused. */
  readonly nowMs?: () => number;
  /** Requests with another access key or session token are refused as expired. */
  readonly key?: () => { readonly accessKeyId: string; readonly sessionToken?: string };
  /** Serves https with these. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface S3Double {
  /** `s3://bucket/prefix?endpoint=…` */
  readonly url: string;
  readonly endpoint: string;
  /** By key within the bucket. */
  readonly objects: Map<string, Buffer>;
  /** `METHOD key` of every request, in order of arrival. */
  readonly requests: string[];
  /** The same with all that came with it. */
  readonly seen: SeenRequest[];
  /** From now on the bucket does not exist. */
  dropBucket(): void;
  inject(...faults: readonly S3Fault[]): void;
  /** Forgets the faults that were not met yet. */
  healed(): void;
  stop(): Promise<void>;
}

export interface SeenRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const BUCKET = 'double';
const SKEW_MS_MAX = 15 * 60_000;

export async function startS3Double(options: S3DoubleOptions = {}): Promise<S3Double> {
  const objects = new Map<string, Buffer>();
  const requests: string[] = [];
  const seen: SeenRequest[] = [];
  const script = new S3FaultScript();
  const lateKeys = new Set<string>();
  let hasBucket = true;
  const listener: RequestListener = (request, response) => {
    const serve = async (): Promise<void> => {
      const url = new URL(request.url ?? '/', 'http://double');
      const key = decodeURIComponent(url.pathname).slice(BUCKET.length + 2);
      requests.push(`${request.method} ${key}`);
      const body = await readBody(request);
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      if (options.nowMs !== undefined) response.setHeader('date', new Date(options.nowMs()).toUTCString());
      await script.answer(request, response, key, () => refusal(request) ?? act(request, url, key, body));
    };
    serve().catch(() => request.socket.destroy());
  };
  const server = options.tls === undefined ? createServer(listener) : createSecureServer(options.tls, listener);

  function refusal({ headers }: IncomingMessage): S3Answer | undefined {
    const { region, nowMs, key } = options;
    const [accessKeyId, , scope] = /Credential=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split('/') ?? [];
    if (region !== undefined && scope !== region)
      return refuse(400, 'AuthorizationHeaderMalformed', { headers: { 'x-amz-bucket-region': region }, region });
    if (nowMs !== undefined && Math.abs(signedAtMs(headers) - nowMs()) > SKEW_MS_MAX) return refuse(403, 'RequestTimeTooSkewed');
    const wanted = key?.();
    if (wanted !== undefined && (accessKeyId !== wanted.accessKeyId || headers['x-amz-security-token'] !== wanted.sessionToken))
      return refuse(400, 'ExpiredToken');
    return hasBucket ? undefined : refuse(404, 'NoSuchBucket');
  }

  function act(request: IncomingMessage, url: URL, key: string, body: Buffer): S3Answer | Promise<S3Answer> {
    if (request.method === 'POST') return options.deleteNothing === true ? bulkDelete(new Map(), body) : bulkDelete(objects, body);
    if (request.method === 'PUT') return put(request, key, body);
    if (key === '') return list(visible(), url.searchParams);
    const found = objects.get(key);
    if (found === undefined) return { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' };
    const headers = options.keepNoChecksums === true ? {} : { 'x-amz-checksum-crc32c': crc32cToBase64(crc32c(found)) };
    if (request.method === 'HEAD') return { status: 200, headers: { ...headers, 'content-length': String(found.length) } };
    const answer = get(found, options.ignoreRanges === true ? undefined : request.headers.range);
    // What some servers give as entity tag is no MD5 of anything.
    return { ...answer, headers: { ...answer.headers, etag: `"${found.length}-not-an-md5"` } };
  }

  function visible(): ReadonlyMap<string, Buffer> {
    if (options.listLate !== true) return objects;
    const shown = new Map([...objects].filter(([key]) => lateKeys.has(key)));
    for (const key of objects.keys()) lateKeys.add(key);
    return shown;
  }

  async function put(request: IncomingMessage, key: string, body: Buffer): Promise<S3Answer> {
    const stated = request.headers['x-amz-checksum-crc32c'];
    if (stated !== undefined && stated !== crc32cToBase64(crc32c(body)) && options.checkNoChecksums !== true)
      return refuse(400, 'BadDigest');
    const { conditions = 'exact' } = options;
    const isConditional = request.headers['if-none-match'] === '*' && conditions !== 'ignored';
    if (isConditional && objects.has(key)) return refuse(412, 'PreconditionFailed');
    if (conditions === 'one-at-a-time') await new Promise((resolve) => setTimeout(resolve, 50));
    objects.set(key, body);
    return { status: 200, headers: { etag: `"${body.length}-not-an-md5"` } };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const host = options.tls === undefined ? 'http://127.0.0.1' : 'https://localhost';
  const endpoint = `${host}:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    url: `s3://${BUCKET}/some/prefix?endpoint=${endpoint}`,
    endpoint,
    objects,
    requests,
    seen,
    dropBucket: () => void (hasBucket = false),
    inject: (...faults) => script.inject(...faults),
    healed: () => script.clear(),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function refuse(status: number, code: string, more: { headers?: Record<string, string>; region?: string } = {}): S3Answer {
  const region = more.region === undefined ? '' : `<Region>${more.region}</Region>`;
  return { status, headers: { ...XML, ...more.headers }, body: `<Error><Code>${code}</Code>${region}</Error>` };
}

/** By `x-amz-date`. */
function signedAtMs(headers: IncomingHttpHeaders): number {
  const text = headers['x-amz-date'];
  return Date.parse(String(text).replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)$/, '$1-$2-$3:$4:$5'));
}

function get(found: Buffer, range: string | undefined): S3Answer {
  if (range === undefined) return { status: 200, body: found };
  const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  if (Number(first) >= found.length) return { status: 416, body: '<Error><Code>InvalidRange</Code></Error>' };
  return { status: 206, body: found.subarray(Number(first), Number(last) + 1) };
}

function list(objects: ReadonlyMap<string, Buffer>, query: URLSearchParams): S3Answer {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('start-after') ?? '';
  const limit = Number(query.get('max-keys') ?? 1000);
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort(compareKeys);
  const rows = keys
    .slice(0, limit)
    .map((key) => `<Contents><Key>${escapeXml(key)}</Key><Size>${objects.get(key)?.length}</Size></Contents>`);
  const head = `<Name>${BUCKET}</Name><IsTruncated>${keys.length > limit}</IsTruncated>`;
  return { status: 200, headers: XML, body: `<ListBucketResult>${head}${rows.join('')}</ListBucketResult>` };
}

function bulkDelete(objects: Map<string, Buffer>, body: Buffer): S3Answer {
  for (const [, key = ''] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)) objects.delete(unescapeXml(key));
  return { status: 200, headers: XML, body: '<DeleteResult></DeleteResult>' };
}

const XML = { 'content-type': 'application/xml' };

function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}

function unescapeXml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&apos;', "'").replaceAll('&amp;', '&');
}
