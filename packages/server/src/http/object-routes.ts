/**
 * `GET|PUT /objects/<upload>/<index>`: blocks through the server, for clients that reach no store themselves. The bearer
 * of an upload's ticket puts blocks of that upload; the bearer of a read token gets blocks. A get that tells in `x-nokv-crc32c` what the
 * range's bytes must be may be answered from the server's cache, where it has one; without it the store is asked.
 */
import { blocksOf, crc32c, formatCrc32c, parseCrc32c, type BodyReader, type ObjectStore } from '@nokv/object';
import { NokvError, UPLOAD_BLOCKS_MAX, blockKey, uploadId, type Clock, type UploadId } from '@nokv/types';
import { Slots } from '../slots.js';
import type { Tickets } from '../tickets.js';
import type { HttpAnswer, HttpRequest, HttpRoute } from './http-server.js';

export interface ObjectRouteParts {
  readonly store: ObjectStore;
  readonly tickets: Tickets;
  readonly clock: Clock;
  readonly blockBytesMax: number;
  /** Undefined while serving; else what every call gets. */
  readonly refusal: () => Error | undefined;
  readonly hasUpload: (upload: UploadId) => boolean;
  /** Reads pieces whose checksum the client tells, where the server keeps some. */
  readonly cache: BodyReader | undefined;
  /** Counts the bytes of blocks that came and went. */
  readonly carried: { in: number; out: number };
}

/** Blocks held in memory at once, in both directions together: 16 of 4 MiB. */
const BLOCKS_MAX = 16;
/** Requests that wait for their turn, their bodies unread. */
const WAITERS_MAX = 512;
/** Clients give up a connection that is silent for 20 s: before that they hear what is the matter with the store. */
const PATIENCE_MS = 12_000;

export function objectRoutes(parts: ObjectRouteParts): HttpRoute {
  const { store, tickets, clock } = parts;
  const blocks = blocksOf(store);
  const slots = new Slots(BLOCKS_MAX, WAITERS_MAX);

  async function put(request: HttpRequest): Promise<HttpAnswer> {
    const { upload, index } = parsePath(request.path);
    refuseUnlessServing();
    tickets.checkUploadTicket(bearer(request), upload, clock.nowMs());
    const stated = parseChecksum(request.headers['x-nokv-crc32c']);
    refuseUnlessStaged(upload);
    const giveBack = await slots.take(request.signal);
    try {
      const bytes = await request.body(parts.blockBytesMax);
      parts.carried.in += bytes.length;
      if (bytes.length === 0) throw new NokvError('invalid-argument', 'expected a block of at least 1 byte, found none');
      const found = crc32c(bytes);
      if (found !== stated) {
        throw new NokvError(
          'invalid-argument',
          `expected bytes with crc32c ${formatCrc32c(stated)} as x-nokv-crc32c says, found ${formatCrc32c(found)}; send the block again`,
        );
      }
      // The body may have taken a minute: what was true at its beginning is asked again.
      refuseUnlessServing();
      refuseUnlessStaged(upload);
      return await keep(upload, index, bytes, stated, request.signal);
    } finally {
      giveBack();
    }
  }

  async function keep(upload: UploadId, index: number, bytes: Uint8Array, checksum: number, signal: AbortSignal): Promise<HttpAnswer> {
    const outcome = await store.putIfAbsent(blockKey(upload, index), bytes, { crc32c: checksum, signal, patienceMs: PATIENCE_MS });
    if (outcome === 'created') return { status: 201 };
    // Something is there: the same bytes, sent again after a lost answer, or `corrupt`.
    await blocks.putBlock(upload, index, bytes, { crc32c: checksum, signal });
    return { status: 200 };
  }

  async function get(request: HttpRequest): Promise<HttpAnswer> {
    const { upload, index } = parsePath(request.path);
    refuseUnlessServing();
    tickets.checkReadToken(bearer(request), clock.nowMs());
    const range = parseRange(request.headers.range);
    const release = await slots.take(request.signal);
    try {
      const cached = await readCached(request, upload, index, range);
      const bytes = cached ?? (await store.get(blockKey(upload, index), { ...range, signal: request.signal, patienceMs: PATIENCE_MS }));
      parts.carried.out += bytes.length;
      const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'private, immutable' };
      if (range === undefined) return { status: 200, headers, body: bytes, release };
      const last = range.offset + bytes.length - 1;
      return { status: 206, headers: { ...headers, 'content-range': `bytes ${range.offset}-${last}/*` }, body: bytes, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Undefined where the cache is not to be asked: the store is then. */
  async function readCached(
    request: HttpRequest,
    upload: UploadId,
    index: number,
    range: Range | undefined,
  ): Promise<Uint8Array | undefined> {
    const checksum = request.headers['x-nokv-crc32c'];
    if (parts.cache === undefined || range === undefined || range.length > parts.blockBytesMax || checksum === undefined) return undefined;
    const piece = { upload, index, ...range, crc32c: parseChecksum(checksum), skip: 0, take: range.length };
    const body = { kind: 'blocks', manifest: { size: range.length, extents: [piece] } } as const;
    return await parts.cache.read(body, 0, range.length, { signal: request.signal });
  }

  function refuseUnlessServing(): void {
    const refusal = parts.refusal();
    if (refusal !== undefined) throw refusal;
  }

  function refuseUnlessStaged(upload: UploadId): void {
    if (!parts.hasUpload(upload)) throw new NokvError('no-upload', `upload ${upload} has ended or expired; begin a new one`);
  }

  return { path: '/objects/', methods: { GET: get, PUT: put } };
}

function parsePath(path: string): { upload: UploadId; index: number } {
  const match = /^\/objects\/([0-9a-f]{32})\/(\d{1,7})$/.exec(path);
  const index = Number(match?.[2]);
  if (match === null || index >= UPLOAD_BLOCKS_MAX || String(index) !== match[2]) {
    throw new NokvError('not-found', `expected /objects/<upload id>/<index below ${UPLOAD_BLOCKS_MAX}>, found ${path}`);
  }
  return { upload: uploadId(match[1] as string), index };
}

function bearer(request: HttpRequest): string | undefined {
  return /^Bearer ([^\s]{1,512})$/.exec(request.headers.authorization ?? '')?.[1];
}

function parseChecksum(header: string | readonly string[] | undefined): number {
  const checksum = typeof header === 'string' ? parseCrc32c(header) : undefined;
  if (checksum === undefined)
    throw new NokvError('invalid-argument', 'expected x-nokv-crc32c with the checksum of the body as 8 lower-case hex digits');
  return checksum;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** One range with both ends, as block readers ask for; undefined: the whole block. */
function parseRange(header: string | undefined): Range | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header);
  const offset = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || last < offset)
    throw new NokvError('invalid-argument', `expected Range: bytes=FIRST-LAST, found "${header.slice(0, 100)}"`);
  return { offset, length: last - offset + 1 };
}
