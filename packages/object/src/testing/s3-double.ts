/**
 * A small S3 endpoint in this process, with scripted faults: for what a real server does not do on demand. It speaks just
 * what the adapter uses (conditional PUT, ranged GET, HEAD, list, bulk delete), checks no signatures, and keeps exact
 * conditional semantics unless it is told to ignore them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { crc32c, crc32cToBase64 } from '../block-checksum.js';
import { compareKeys } from '../object-key.js';

export interface S3DoubleFault {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST';
  /** How many requests meet it; default 1. */
  readonly times?: number;
  readonly effect:
    /** Answered without doing anything. */
    | { readonly kind: 'status'; readonly status: number; readonly code?: string; readonly headers?: Readonly<Record<string, string>> }
    /** The connection is reset before anything is done. */
    | { readonly kind: 'reset' }
    /** It is done, and the connection reset instead of an answer. */
    | { readonly kind: 'lose-reply' }
    /** The answer's body ends half-way. */
    | { readonly kind: 'cut' }
    /** The answer's first byte is wrong. */
    | { readonly kind: 'flip' }
    /** Never answered. */
    | { readonly kind: 'hang' };
}

export interface S3DoubleOptions {
  /** Answers every PUT with 200 and overwrites, as servers do that do not know `If-None-Match`. */
  readonly ignoreConditions?: boolean;
  /** Keeps no checksums, as some servers. */
  readonly keepNoChecksums?: boolean;
}

export interface S3Double {
  /** `s3://bucket/prefix?endpoint=…` */
  readonly url: string;
  readonly endpoint: string;
  /** By key within the bucket. */
  readonly objects: Map<string, Buffer>;
  /** `METHOD key` of every request, in order of arrival. */
  readonly requests: string[];
  inject(...faults: readonly S3DoubleFault[]): void;
  stop(): Promise<void>;
}

const BUCKET = 'double';

export async function startS3Double(options: S3DoubleOptions = {}): Promise<S3Double> {
  const objects = new Map<string, Buffer>();
  const requests: string[] = [];
  const faults: { fault: S3DoubleFault; left: number }[] = [];
  const server = createServer((request, response) => {
    serve(request, response).catch(() => request.socket.destroy());
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://double');
    const key = decodeURIComponent(url.pathname).slice(BUCKET.length + 2);
    requests.push(`${request.method} ${key}`);
    const body = await readBody(request);
    const effect = takeFault(request.method ?? '');
    if (effect?.kind === 'hang') return;
    if (effect?.kind === 'reset') return void request.socket.resetAndDestroy();
    if (effect?.kind === 'status') {
      const headers = { 'content-type': 'application/xml', ...effect.headers };
      response.writeHead(effect.status, headers).end(effect.code === undefined ? '' : `<Error><Code>${effect.code}</Code></Error>`);
      return;
    }
    const answer = act(request, url, key, body);
    if (effect?.kind === 'lose-reply') return void request.socket.resetAndDestroy();
    const bytes = Buffer.from(answer.body ?? '');
    if (effect?.kind === 'flip' && bytes[0] !== undefined) bytes[0] ^= 1;
    response.writeHead(answer.status, { 'content-length': bytes.length, ...answer.headers });
    if (effect?.kind === 'cut') {
      response.write(bytes.subarray(0, bytes.length >> 1), () => request.socket.resetAndDestroy());
    } else response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  function act(request: IncomingMessage, url: URL, key: string, body: Buffer): Answer {
    if (request.method === 'POST') return bulkDelete(objects, body);
    if (request.method === 'PUT') return put(request, key, body);
    if (key === '') return list(objects, url.searchParams);
    const found = objects.get(key);
    if (found === undefined) return { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' };
    const headers = options.keepNoChecksums === true ? {} : { 'x-amz-checksum-crc32c': crc32cToBase64(crc32c(found)) };
    if (request.method === 'HEAD') return { status: 200, headers: { ...headers, 'content-length': String(found.length) } };
    return get(found, request.headers.range);
  }

  function put(request: IncomingMessage, key: string, body: Buffer): Answer {
    const stated = request.headers['x-amz-checksum-crc32c'];
    if (stated !== undefined && stated !== crc32cToBase64(crc32c(body)))
      return { status: 400, body: '<Error><Code>BadDigest</Code></Error>' };
    if (objects.has(key) && request.headers['if-none-match'] === '*' && options.ignoreConditions !== true) {
      return { status: 412, body: '<Error><Code>PreconditionFailed</Code></Error>' };
    }
    objects.set(key, body);
    return { status: 200 };
  }

  function takeFault(method: string): S3DoubleFault['effect'] | undefined {
    const at = faults.findIndex(({ fault }) => fault.method === method);
    const entry = faults[at];
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left === 0) faults.splice(at, 1);
    return entry.fault.effect;
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const endpoint = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    url: `s3://${BUCKET}/some/prefix?endpoint=${endpoint}`,
    endpoint,
    objects,
    requests,
    inject: (...more) => void faults.push(...more.map((fault) => ({ fault, left: fault.times ?? 1 }))),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

function get(found: Buffer, range: string | undefined): Answer {
  if (range === undefined) return { status: 200, body: found };
  const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  if (Number(first) >= found.length) return { status: 416, body: '<Error><Code>InvalidRange</Code></Error>' };
  return { status: 206, body: found.subarray(Number(first), Number(last) + 1) };
}

function list(objects: ReadonlyMap<string, Buffer>, query: URLSearchParams): Answer {
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

function bulkDelete(objects: Map<string, Buffer>, body: Buffer): Answer {
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

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
