/** From what callers put to what uploads read. */
import { memorySource, type BodySource } from '@nokv/object';
import { NokvError } from '@nokv/types';
import type { PutSource } from '../put-source.js';
import { localFileSource, type LocalFile } from './local-file-source.js';

/** @param signal ends the reading of streams at once, even of one that never yields again. */
export async function bodySourceOf(source: PutSource, signal: AbortSignal): Promise<BodySource | LocalFile> {
  if (source instanceof Uint8Array) return memorySource(source);
  if (typeof source === 'string') return memorySource(Buffer.from(source, 'utf8'));
  if (source instanceof Blob) return untilAborted(checked(source.stream()), signal);
  if (typeof source === 'object' && source !== null) {
    if ('file' in source) return localFileSource(source);
    if (Symbol.asyncIterator in source || Symbol.iterator in source) return chunksOf(source, signal);
  }
  throw notBytes(source);
}

/** A stream's chunks, checked to be bytes; the signal ends the reading at once. */
export function chunksOf(source: AsyncIterable<unknown> | Iterable<unknown>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return untilAborted(checked(source), signal);
}

export function isLocalFile(body: BodySource | LocalFile): body is LocalFile {
  return 'identity' in body;
}

/** Known before anything is read, where it is known. */
export function sizeOf(source: PutSource): number | undefined {
  if (source instanceof Uint8Array) return source.length;
  if (typeof source === 'string') return Buffer.byteLength(source, 'utf8');
  return source instanceof Blob ? source.size : undefined;
}

function untilAborted(chunks: AsyncGenerator<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve, reject) => {
          const abort = () => reject(signal.reason);
          if (signal.aborted) return abort();
          // One listener for each wait: a race against one promise for the whole stream would keep every chunk's reaction.
          signal.addEventListener('abort', abort, { once: true });
          const settled = () => signal.removeEventListener('abort', abort);
          chunks.next().then(resolve, reject).finally(settled);
        }),
      async return() {
        const closed = chunks.return(undefined);
        // A source that stalls ends whenever it wakes up; nobody waits for that after an abort.
        if (signal.aborted) closed.catch(() => undefined);
        else await closed;
        return { done: true, value: undefined };
      },
    }),
  };
}

/** Programs in plain JavaScript may stream anything: what is no bytes is refused here, by name. */
async function* checked(chunks: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<Uint8Array> {
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
