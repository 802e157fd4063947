/** How blocks can be reached, in order of preference: the store itself where the peer may be able to, else our HTTP port. */
import { BLOCK_BYTES_DEFAULT, INLINE_BYTES_MAX, type AccessResult, type BlockAccess, type Clock } from '@nokv/types';
import type { Peer } from './service.js';
import type { Tickets } from './tickets.js';

/** A read token outlives every plan that was made while it was valid; clients ask for access again before it ends. */
const READ_TOKEN_TTL_MS = 60 * 60 * 1000;

export interface AccessParts {
  /** The way to the store itself; undefined where there is none (a store in memory). */
  readonly direct: BlockAccess | undefined;
  readonly tickets: Tickets;
  readonly clock: Clock;
  /** `host:port` of the HTTP port. */
  readonly http: () => string;
}

export function accessWays(parts: AccessParts): (peer: Peer) => AccessResult {
  return (peer) => {
    const expiresAtMs = parts.clock.nowMs() + READ_TOKEN_TTL_MS;
    const proxied: BlockAccess = {
      kind: 'proxied',
      url: `http://${parts.http()}/objects`,
      readToken: parts.tickets.readToken(expiresAtMs),
      expiresAtMs,
    };
    const { direct } = parts;
    const isReachable = direct !== undefined && (direct.kind !== 'file' || peer.isLocal);
    return { ways: isReachable ? [direct, proxied] : [proxied], blockBytes: BLOCK_BYTES_DEFAULT, inlineBytesMax: INLINE_BYTES_MAX };
  };
}
