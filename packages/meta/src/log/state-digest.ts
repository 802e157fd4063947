/**
 * The digest of a shard's state: two stores with the same digest hold the same namespace with the same past.
 *
 * SHA-256 over all rows in key order, each as key length u32, value length u32, key, value. Left out is what one copy may have and
 * another not: the position in the shared log, what waits to be shipped there, and in the progress row the numbers that are reserved
 * and the version, since a start skips versions; the version of what was done is in the change records.
 */
import { createHash, type Hash } from 'node:crypto';
import { FAMILY, SYSTEM_ITEM, keyAfter } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { decodeProgress, encodeProgress } from '../value-log.js';

/** Rows between two turns of the event loop. */
const SLICE_ROWS = 2048;

export async function stateDigest(kv: KvReader): Promise<string> {
  const digest = new StateDigest();
  let start: Uint8Array = Uint8Array.of(0);
  const end = Uint8Array.of(0xff);
  // Each slice begins after the last row of the one before, so that this ends with the last row.
  for (;;) {
    let rows = 0;
    for (const { key, value } of kv.range(start, end, { limit: SLICE_ROWS })) {
      rows += 1;
      digest.add(key, value);
      if (rows === SLICE_ROWS) start = keyAfter(key);
    }
    if (rows < SLICE_ROWS) return digest.end();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Rows are given in key order. */
export class StateDigest {
  readonly #hash: Hash = createHash('sha256');
  readonly #lengths = Buffer.alloc(8);

  add(key: Uint8Array, value: Uint8Array): void {
    const counted = countedValue(key, value);
    if (counted === undefined) return;
    this.#lengths.writeUInt32BE(key.length, 0);
    this.#lengths.writeUInt32BE(counted.length, 4);
    // The store may hand out views whose length was narrowed: the hash goes by the array itself.
    this.#hash.update(this.#lengths).update(exact(key)).update(exact(counted));
  }

  end(): string {
    return this.#hash.digest('hex');
  }
}

/** The value as far as it is part of the state; undefined for rows that are not. */
function countedValue(key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
  if (key[0] !== FAMILY.system) return value;
  switch (key[1]) {
    case SYSTEM_ITEM.log:
    case SYSTEM_ITEM.outbox:
      return undefined;
    case SYSTEM_ITEM.progress:
      return encodeProgress({ ...decodeProgress(value), version: NONE, versionsReserved: NONE, inodesReserved: 0 });
    default:
      return value;
  }
}

const NONE = 0 as ReturnType<typeof decodeProgress>['version'];

function exact(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length);
}
