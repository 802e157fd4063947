/** Random bytes drawn in bulk: every mutation needs an id, and a draw of 16 bytes costs as much as one of thousands. */
import type { Random } from '@nokv/types';

const POOL_BYTES = 8192;

export function pooledRandom(random: Random): Random {
  let pool: Uint8Array = new Uint8Array(0);
  return {
    float: () => random.float(),
    bytes(length) {
      if (length > POOL_BYTES) return random.bytes(length);
      if (pool.length < length) pool = random.bytes(POOL_BYTES);
      // A copy: the caller owns what it gets, and no byte is handed out twice.
      const drawn = pool.slice(0, length);
      pool = pool.subarray(length);
      return drawn;
    },
  };
}
