/** How blocks can be reached, in order of preference: the store itself, the store by signed URLs, our HTTP port. */
import type { S3Presigner } from '@nokv/object';
import {
  BLOCK_BYTES_DEFAULT,
  INLINE_BYTES_MAX,
  NAMESPACE_MARKER_KEY,
  isNokvError,
  type AccessResult,
  type BlockAccess,
  type Clock,
} from '@nokv/types';
import type { Peer } from './service.js';
import type { Tickets } from './tickets.js';

/** A read token outlives every plan that was made while it was valid; clients ask for access again before it ends. */
const READ_TOKEN_TTL_MS = 60 * 60 * 1000;

type DirectWay = Extract<BlockAccess, { readonly kind: 'file' | 's3' }>;

export interface AccessParts {
  /** The way to the store itself; undefined where there is none (a store in memory). */
  readonly direct: DirectWay | undefined;
  /** Signs URLs of the store; undefined where it knows none. */
  readonly presigner: S3Presigner | undefined;
  /** The store, for people. */
  readonly description: string;
  readonly tickets: Tickets;
  readonly clock: Clock;
  /** `host:port` of the HTTP port. */
  readonly http: () => string;
}

export function accessWays(parts: AccessParts): (peer: Peer) => Promise<AccessResult> {
  return async (peer) => {
    const expiresAtMs = parts.clock.nowMs() + READ_TOKEN_TTL_MS;
    const readToken = parts.tickets.readToken(expiresAtMs);
    const { direct } = parts;
    const isReachable = direct !== undefined && (direct.kind !== 'file' || peer.isLocal);
    const ways: BlockAccess[] = isReachable ? [direct] : [];
    const presigned = await presignedWay(parts, readToken);
    if (presigned !== undefined) ways.push(presigned);
    ways.push({ kind: 'proxied', url: `http://${parts.http()}/objects`, readToken, expiresAtMs });
    return { ways, blockBytes: BLOCK_BYTES_DEFAULT, inlineBytesMax: INLINE_BYTES_MAX };
  };
}

/** For clients that find no credentials of their own. Without keys to sign with now, the other ways are still offered. */
async function presignedWay({ presigner, direct, description }: AccessParts, readToken: string): Promise<BlockAccess | undefined> {
  if (presigner === undefined || direct === undefined) return undefined;
  try {
    const { url, expiresAtMs } = await presigner.get(NAMESPACE_MARKER_KEY, READ_TOKEN_TTL_MS);
    return { kind: 'presigned', description, markerUrl: url, marker: direct.marker, readToken, expiresAtMs };
  } catch (error) {
    if (!isNokvError(error)) throw error;
    return undefined;
  }
}
