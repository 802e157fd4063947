/**
 * What a body is, block by block, without its bytes: to find one that is the same, and to know that it is before its blocks are shared.
 */
import { byteSourceOf, crc32c, isZero, sharedDigest, type BodySource } from '@nokv/object';
import { isHole, plainLength, type Body } from '@nokv/types';

export interface Fingerprint {
  readonly size: number;
  /** `sha256:<hex>`. */
  readonly digest: string;
  readonly parts: readonly FingerprintPart[];
}

/** A block's length of the body, or zeros. */
interface FingerprintPart {
  readonly length: number;
  readonly crc32c: number | 'zero';
}

/** Reads the source once; it is closed afterwards. Two blocks of memory. */
export async function fingerprintOf(source: BodySource, blockBytes: number, signal: AbortSignal): Promise<Fingerprint> {
  const bytes = byteSourceOf(source);
  const hash = sharedDigest();
  const buffers = [0, 1].map(() => new Uint8Array(new SharedArrayBuffer(blockBytes)));
  const hashed: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
  const parts: FingerprintPart[] = [];
  let size = 0;
  try {
    for (let turn = 0; ; turn = 1 - turn) {
      await hashed[turn];
      if (signal.aborted) throw signal.reason;
      const buffer = buffers[turn] as Uint8Array;
      const filled = await bytes.read(buffer);
      if (filled > 0) {
        const block = buffer.subarray(0, filled);
        const updated = Promise.resolve(hash.update(block));
        updated.catch(() => undefined); // Thrown when its turn comes again.
        hashed[turn] = updated;
        size += filled;
        add(parts, { length: filled, crc32c: isZero(block) ? 'zero' : crc32c(block) });
      }
      if (filled < buffer.length) break;
    }
    await Promise.all(hashed);
    return { size, digest: await hash.finish(), parts };
  } catch (error) {
    hash.abandon();
    throw error;
  } finally {
    await bytes.close();
  }
}

/** Undefined where the body does not show whole pieces: their checksums say nothing of slices. */
export function partsOfBody(body: Body): readonly FingerprintPart[] | undefined {
  if (body.kind === 'inline') return undefined;
  const parts: FingerprintPart[] = [];
  for (const extent of body.manifest.extents) {
    if (isHole(extent)) {
      add(parts, { length: extent.take, crc32c: 'zero' });
      continue;
    }
    if (extent.skip !== 0 || extent.take !== plainLength(extent)) return undefined;
    add(parts, { length: extent.take, crc32c: extent.compression?.plainCrc32c ?? extent.crc32c });
  }
  return parts;
}

export function isSameParts(a: readonly FingerprintPart[] | undefined, b: readonly FingerprintPart[] | undefined): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every((part, at) => part.length === b[at]?.length && part.crc32c === b[at]?.crc32c);
}

function add(parts: FingerprintPart[], part: FingerprintPart): void {
  const last = parts.at(-1);
  if (last?.crc32c === 'zero' && part.crc32c === 'zero') parts[parts.length - 1] = { length: last.length + part.length, crc32c: 'zero' };
  else parts.push(part);
}
