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

/** Small rows are hashed many at a time: a call of the hash costs more than a hundred bytes of it. */
const BUFFER_BYTES = 64 * 1024;
const LENGTHS_BYTES = 8;

/** Rows are given in key order. */
export class StateDigest {
  readonly #hash: Hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #at = 0;

  add(key: Uint8Array, value: Uint8Array): void {
    const counted = countedValue(key, value);
    if (counted === undefined) return;
    if (this.#at + LENGTHS_BYTES + key.length + counted.length > BUFFER_BYTES) this.#flush();
    this.#at = this.#buffer.writeUInt32BE(key.length, this.#at);
    this.#at = this.#buffer.writeUInt32BE(counted.length, this.#at);
    this.#append(exact(key));
    this.#append(exact(counted));
  }

  end(): string {
    this.#flush();
    return this.#hash.digest('hex');
  }

  #append(bytes: Uint8Array): void {
    if (this.#at + bytes.length > BUFFER_BYTES) {
      this.#flush();
      this.#hash.update(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #flush(): void {
    this.#hash.update(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
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

/** The store may hand out views whose length was narrowed: a hash goes by the array itself. */
function exact(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.length ? bytes : bytes.subarray(0, bytes.length);
}
