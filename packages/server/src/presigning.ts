/**
 * Signs URLs for clients that have no credentials: the bearer of an upload's ticket may put blocks of that upload, the bearer of a read
 * token may get blocks. A URL ends with the upload's ticket at the latest, so that nothing is put for long after the upload was swept.
 */
import type { S3Presigner } from '@nokv/object';
import {
  NokvError,
  blockKey,
  type Clock,
  type PresignGetsArgs,
  type PresignPutsArgs,
  type PresignResult,
  type SignedRequest,
  type UploadId,
} from '@nokv/types';
import type { Tickets } from './tickets.js';

/** Long enough for the slowest block, short enough that a leaked URL is soon worth nothing. */
const URL_TTL_MS = 10 * 60 * 1000;
const URL_TTL_MS_MIN = 1000;

export interface Presigning {
  puts(args: PresignPutsArgs): Promise<PresignResult>;
  gets(args: PresignGetsArgs): Promise<PresignResult>;
}

export interface PresigningParts {
  /** Undefined where the store knows no signed URLs. */
  readonly presigner: S3Presigner | undefined;
  readonly tickets: Tickets;
  readonly clock: Clock;
  readonly blockBytesMax: number;
  /** Undefined while serving; else what every call gets. */
  readonly refusal: () => Error | undefined;
  readonly hasUpload: (upload: UploadId) => boolean;
}

export function makePresigning(parts: PresigningParts): Presigning {
  const { tickets, clock } = parts;
  const mustServe = (): S3Presigner => {
    const refusal = parts.refusal();
    if (refusal !== undefined) throw refusal;
    if (parts.presigner !== undefined) return parts.presigner;
    throw new NokvError('unsupported', 'this store has no signed URLs; put and get blocks through the server, or in the directory itself');
  };
  return {
    async puts({ upload, ticket, blocks }) {
      const presigner = mustServe();
      const leftMs = tickets.checkUploadTicket(ticket, upload, clock.nowMs()) - clock.nowMs();
      if (!parts.hasUpload(upload)) throw new NokvError('no-upload', `upload ${upload} has ended or expired; begin a new one`);
      for (const { index, length } of blocks) {
        if (length > parts.blockBytesMax)
          throw new NokvError('too-large', `block ${index}: a block has at most ${parts.blockBytesMax} bytes, found ${length}`);
      }
      const ttlMs = Math.max(URL_TTL_MS_MIN, Math.min(URL_TTL_MS, leftMs));
      const sign = ({ index, length, crc32c }: (typeof blocks)[number]) =>
        presigner.put(blockKey(upload, index), { length, crc32c }, ttlMs);
      return { requests: (await Promise.all(blocks.map(sign))).map(forTheWire) };
    },
    async gets({ readToken, blocks }) {
      const presigner = mustServe();
      tickets.checkReadToken(readToken, clock.nowMs());
      const signed = await Promise.all(blocks.map(({ upload, index }) => presigner.get(blockKey(upload, index), URL_TTL_MS)));
      return { requests: signed.map(forTheWire) };
    },
  };
}

function forTheWire({ url, headers, expiresAtMs }: Awaited<ReturnType<S3Presigner['get']>>): SignedRequest {
  return { url, headers: Object.entries(headers).map(([name, value]) => ({ name, value })), expiresAtMs };
}
