/** From what callers put to what uploads read. */
import type { BodySource } from '@nokv/object';
import { NokvError } from '@nokv/types';
import type { PutSource } from '../put-source.js';
import { localFileSource } from './local-file-source.js';

export async function bodySourceOf(source: PutSource): Promise<BodySource> {
  if (source instanceof Uint8Array) return [source];
  if (typeof source === 'string') return [Buffer.from(source, 'utf8')];
  if (source instanceof Blob) return checked(source.stream());
  if (typeof source === 'object' && source !== null) {
    if ('file' in source) return localFileSource(source.file);
    if (Symbol.asyncIterator in source) return checked(source);
  }
  throw notBytes(source);
}

/** Known before anything is read, where it is known. */
export function sizeOf(source: PutSource): number | undefined {
  if (source instanceof Uint8Array) return source.length;
  if (typeof source === 'string') return Buffer.byteLength(source, 'utf8');
  return source instanceof Blob ? source.size : undefined;
}

/** Programs in plain JavaScript may stream anything: what is no bytes is refused here, by name. */
async function* checked(chunks: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (!(chunk instanceof Uint8Array)) throw notBytes(chunk);
    yield chunk;
  }
}

function notBytes(found: unknown): NokvError {
  return new NokvError(
    'invalid-argument',
    `expected bytes (Uint8Array), found ${found === null ? 'null' : typeof found}; encode text before it is streamed`,
  );
}
