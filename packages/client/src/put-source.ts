/** What can be put: bytes, text, streams, blobs and local files. */

/**
 * A string is the text itself (UTF-8), as with `fs.writeFile`; a local file is named by `{ file }`.
 * Chunks of streams are borrowed until the next one is asked for.
 */
export type PutSource = Uint8Array | string | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | LocalFileSource;

export interface LocalFileSource {
  /** Path on this machine; bytes for names that are not UTF-8. */
  readonly file: string | Uint8Array;
}
