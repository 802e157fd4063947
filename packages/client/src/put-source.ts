/** What can be put: bytes, text, streams, blobs and local files. */

/**
 * A string is the text itself (UTF-8), as with `fs.writeFile`; a local file is named by `{ file }`. Streams are those of the web and of
 * Node, and whatever else yields bytes, at once or as they come. Bytes in memory are sent as they lie there and must not be changed until the
 * call has ended; chunks of streams are borrowed until the next one is asked for.
 */
export type PutSource =
  | Uint8Array
  | string
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | LocalFileSource;

export interface LocalFileSource {
  /** Path on this machine; bytes for names that are not UTF-8. A device, fifo or socket is refused: open it as a stream. */
  readonly file: string | Uint8Array;
  /**
   * What becomes of a file that is written to while it is read: `refuse` (default) publishes nothing and fails with `source-changed`;
   * `accept` publishes what was read, at most as many bytes as there were at the beginning.
   */
  readonly ifChanged?: 'refuse' | 'accept' | undefined;
}
