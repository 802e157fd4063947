/** Reads a tar archive from a stream: one entry after the other, each with its body. */
import { NokvError, formatName } from '@nokv/types';
import { BLOCK_BYTES, decodeBlock, decodeEntry, decodePax, type PaxRecords, type RawHeader, type TarEntry } from './tar-header.js';

/** Extended headers and long names are held in memory. */
const EXTENDED_BYTES_MAX = 1024 * 1024;
const NO_RECORDS: PaxRecords = new Map();

export interface ReadEntry {
  readonly entry: TarEntry;
  /** The body, to be read before the next entry is asked for; what is not read is skipped. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** @param onUnknown told of entries of kinds that are not known. */
export async function* readTar(source: AsyncIterable<Uint8Array>, onUnknown: (path: string) => void): AsyncGenerator<ReadEntry> {
  const bytes = new ByteStream(source);
  let globals = NO_RECORDS;
  let pax: PaxRecords | undefined;
  let isEmpty = true;
  try {
    // Ends at a block of zeros or with the stream.
    for (;;) {
      const at = bytes.at;
      const block = await bytes.take(BLOCK_BYTES, isEmpty ? 'empty' : 'end');
      if (block === undefined) return;
      isEmpty = false;
      const header = decodeBlock(block, at);
      if (header === undefined) break;
      const extended = await readExtended(bytes, header, at);
      if (extended?.kind === 'global') globals = decodePax(extended.bytes, at, globals);
      else if (extended?.kind === 'local') pax = decodePax(extended.bytes, at, pax ?? globals);
      else if (extended !== undefined) pax = new Map([...(pax ?? globals), [extended.kind, withoutNul(extended.bytes).toString('latin1')]]);
      if (extended !== undefined) continue;
      const entry = decodeEntry(header, pax ?? globals, at);
      pax = undefined;
      const size = entry?.type === 'file' ? entry.size : header.size;
      const left = { bytes: size };
      if (entry === undefined) onUnknown(formatName(header.block.subarray(0, 100)).replace(/\\x00.*|\0.*/su, ''));
      else yield { entry, body: bytes.stream(left, entry.path) };
      await bytes.skip(left.bytes + ((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES), entry?.path ?? Buffer.from('an entry'));
    }
    // Whoever writes into a pipe is not cut off in its padding.
    await bytes.drain();
  } finally {
    await bytes.close();
  }
}

type Extended = { readonly kind: 'global' | 'local' | 'path' | 'linkpath'; readonly bytes: Buffer };

/** Headers that say something of the next entry. */
async function readExtended(bytes: ByteStream, { flag, size }: RawHeader, at: number): Promise<Extended | undefined> {
  const kind = ({ g: 'global', x: 'local', L: 'path', K: 'linkpath' } as const)[flag];
  if (kind === undefined) {
    if (flag === 'S')
      throw new NokvError('unsupported-format', `the entry at byte ${at} is stored sparse; write the archive without --sparse`);
    return undefined;
  }
  if (size > EXTENDED_BYTES_MAX)
    throw new NokvError('too-large', `the extended header at byte ${at} has ${size} bytes; ${EXTENDED_BYTES_MAX} are taken`);
  const whole = await bytes.take(size + ((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES), 'middle');
  return { kind, bytes: Buffer.from(whole ?? Buffer.alloc(0)).subarray(0, size) };
}

function withoutNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Exactly as many bytes as are asked for, from chunks as they come. */
class ByteStream {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  /** Bytes handed out so far. */
  at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** @param where what an end of the stream here means; undefined is answered for a good one. */
  async take(count: number, where: 'empty' | 'end' | 'middle'): Promise<Buffer | undefined> {
    const taken = Buffer.alloc(count);
    let filled = 0;
    while (filled < count) {
      const chunk = await this.#next(count - filled);
      if (chunk === undefined) {
        if (filled === 0 && where === 'end') return undefined;
        if (filled === 0 && where === 'empty') throw new NokvError('unsupported-format', 'expected a tar archive, found no byte');
        throw endsInTheMiddle(this.at);
      }
      taken.set(chunk, filled);
      filled += chunk.length;
    }
    return taken;
  }

  /** Up to `left.bytes` bytes, which it counts down. */
  async *stream(left: { bytes: number }, path: Uint8Array): AsyncGenerator<Uint8Array> {
    while (left.bytes > 0) {
      const chunk = await this.#next(left.bytes);
      if (chunk === undefined) throw endsInTheMiddle(this.at, path);
      left.bytes -= chunk.length;
      yield chunk;
    }
  }

  async skip(count: number, path: Uint8Array): Promise<void> {
    for await (const _ of this.stream({ bytes: count }, path));
  }

  async drain(): Promise<void> {
    while ((await this.#next(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #next(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#rest = value;
    }
    const chunk = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(chunk.length);
    this.at += chunk.length;
    return chunk;
  }
}

function endsInTheMiddle(at: number, path?: Uint8Array): NokvError {
  const where = path === undefined ? '' : ` of ${formatName(path)}`;
  return new NokvError('unsupported-format', `the archive ends at byte ${at}, in the middle${where}; fetch or write it again`);
}
