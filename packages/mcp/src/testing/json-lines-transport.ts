/** The client's end of a pair of streams, for tests in one process: JSON messages, one a line. Fits the clients of both eras. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class JsonLinesTransport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  /** Parsed, not checked: the two SDKs have message types of their own. */
  onmessage?: (message: unknown) => void;
  readonly #incoming: Readable;
  readonly #outgoing: Writable;

  constructor(incoming: Readable, outgoing: Writable) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  async start(): Promise<void> {
    createInterface({ input: this.#incoming }).on('line', (line) => this.onmessage?.(JSON.parse(line)));
  }

  async send(message: unknown): Promise<void> {
    this.#outgoing.write(`${JSON.stringify(message)}\n`);
  }

  async close(): Promise<void> {
    this.#outgoing.end();
    this.onclose?.();
  }
}
