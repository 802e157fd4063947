/**
 * What a batch wrote, in 32 bytes: SHA-256 over its writes in order, each as key length u32, key, value length u32 (2^32 - 1 for a
 * removal), value. Results of requests are rows, and so covered. The progress row is left out: what it reserves depends on when
 * batches were cut, not on what they say.
 */
import { createHash } from 'node:crypto';
import { SYSTEM_ITEM, systemKey } from '../key.js';
import type { KvWrite } from '../ordered-kv.js';

const REMOVED = 0xffff_ffff;
const PROGRESS_KEY = Buffer.from(systemKey(SYSTEM_ITEM.progress));

export function rowsDigest(writes: readonly KvWrite[]): Uint8Array {
  const hash = createHash('sha256');
  const lengths = Buffer.alloc(8);
  for (const { key, value } of writes) {
    if (PROGRESS_KEY.equals(key)) continue;
    lengths.writeUInt32BE(key.length, 0);
    lengths.writeUInt32BE(value === undefined ? REMOVED : value.length, 4);
    hash.update(lengths).update(key);
    if (value !== undefined) hash.update(value);
  }
  return hash.digest();
}
