/** Where a body's bytes come from. */
import { open, type FileHandle } from 'node:fs/promises';
import { NokvError } from '@nokv/types';
import { translateFileError } from '../file/file-errors.js';

/** Fills buffers that the caller owns; the fast way for files, because no byte is copied twice. */
export interface ByteSource {
  /** Fills `into` from its start; fewer bytes than it holds only at the end of the body. */
  read(into: Uint8Array): Promise<number>;
  /**
   * Only of bytes that are in memory as a whole, whose `sizeHint` then is their size: the next ones, at most so many, none at the end.
   * They are views, which nobody changes until the upload has ended.
   */
  readonly take?: ((bytesMax: number) => Uint8Array) | undefined;
  /** Known size, where there is one: only a hint. */
  readonly sizeHint?: number | undefined;
  close(): Promise<void>;
}

/** What uploads take: chunks of any size, or a source that fills buffers. */
export type BodySource = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ByteSource;

export function byteSourceOf(source: BodySource): ByteSource {
  // Node's streams have a `read` of their own: what can be iterated is read as chunks.
  return Symbol.asyncIterator in source || Symbol.iterator in source ? new ChunkSource(source) : source;
}

/** Bytes in memory, sent as they lie there. */
export function memorySource(bytes: Uint8Array): ByteSource {
  let at = 0;
  const take = (bytesMax: number): Uint8Array => {
    const part = bytes.subarray(at, at + bytesMax);
    at += part.length;
    return part;
  };
  return {
    sizeHint: bytes.length,
    take,
    async read(into) {
      const part = take(into.length);
      into.set(part);
      return part.length;
    },
    close: async () => undefined,
  };
}

class ChunkSource implements ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  #isReading = false;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  async read(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      if (this.#rest.length === 0) {
        if (this.#ended) break;
        this.#isReading = true;
        const next = await this.#chunks.next();
        this.#isReading = false;
        if (next.done === true) {
          this.#ended = true;
          break;
        }
        if (!(next.value instanceof Uint8Array))
          throw new NokvError('invalid-argument', `expected chunks of bytes, found a ${typeof next.value}`);
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, into.length - filled);
      into.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return filled;
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const returned = Promise.resolve(this.#chunks.return?.());
    // A source that never answers (a terminal) would hold up a cancelled upload for ever.
    if (this.#isReading) returned.catch(() => undefined);
    else await returned;
  }
}

/** A local file, read in whole blocks. A file that shrinks or grows meanwhile ends where it ends. */
export async function openLocalFile(path: string): Promise<ByteSource & { readonly sizeHint: number }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const info = await handle.stat();
    if (info.isDirectory()) throw new NokvError('is-directory', `expected a file, found a directory: ${path}`);
    return new LocalFileSource(handle, path, info.isFile() ? info.size : 0);
  } catch (error) {
    await handle?.close();
    throw localFileError(error, path);
  }
}

class LocalFileSource implements ByteSource {
  readonly sizeHint: number;
  readonly #handle: FileHandle;
  readonly #path: string;

  constructor(handle: FileHandle, path: string, sizeHint: number) {
    this.#handle = handle;
    this.#path = path;
    this.sizeHint = sizeHint;
  }

  async read(into: Uint8Array): Promise<number> {
    let filled = 0;
    try {
      while (filled < into.length) {
        const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, null);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
    } catch (error) {
      throw localFileError(error, this.#path);
    }
    return filled;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function localFileError(error: unknown, path: string): NokvError {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
    return new NokvError('not-found', `no local file ${path}`, { cause: error });
  }
  return translateFileError(error, `read ${path}`, 'not-applied');
}
