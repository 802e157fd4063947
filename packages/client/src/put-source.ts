/** What can be put: bytes, text, streams, blobs and local files. */
import { createReadStream } from 'node:fs';
import { NokvError } from '@nokv/types';
import { localError } from './local-error.js';

/**
 * A string is the text itself (UTF-8), as with `fs.writeFile`; a local file is named by `{ file }`.
 * Chunks of streams are borrowed until the next one is asked for.
 */
export type PutSource = Uint8Array | string | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | LocalFileSource;

export interface LocalFileSource {
  /** Path on this machine; bytes for names that are not UTF-8. */
  readonly file: string | Uint8Array;
}

const FILE_CHUNK_BYTES = 1024 * 1024;

/** The source's bytes in order; leaving the iteration early closes it. */
export async function* chunksOf(source: PutSource): AsyncGenerator<Uint8Array> {
  if (typeof source === 'string') {
    yield Buffer.from(source, 'utf8');
  } else if (source instanceof Uint8Array) {
    yield source;
  } else if (source instanceof Blob) {
    yield* checked(source.stream());
  } else if ('file' in source) {
    yield* fileChunks(source.file);
  } else if (Symbol.asyncIterator in source) {
    yield* checked(source);
  } else {
    throw notASource(source);
  }
}

async function* fileChunks(file: string | Uint8Array): AsyncGenerator<Uint8Array> {
  const path = typeof file === 'string' ? file : Buffer.from(file);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: FILE_CHUNK_BYTES })) yield chunk as Buffer;
  } catch (error) {
    throw localError(error, `read ${String(path)}`);
  }
}

/** Programs in plain JavaScript may stream anything: what is no bytes is refused here, by name. */
async function* checked(chunks: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) throw notASource(chunk);
    yield chunk;
  }
}

function notASource(found: unknown): NokvError {
  return new NokvError('invalid-argument', `expected bytes (Uint8Array), found ${found === null ? 'null' : typeof found}; encode text before it is streamed`);
}
