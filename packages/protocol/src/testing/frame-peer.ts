/** One end of a transport driven by hand, frame by frame: a client or a server that says whatever a test wants. */
import type { Frame, FrameType } from '../frame.js';
import { FrameDecoder } from '../frame.js';
import { clientHello, writeClientHello } from '../hello.js';
import { MessageWriter } from '../message-writer.js';
import type { Transport } from '../transport/transport.js';

export class FramePeer {
  readonly transport: Transport;
  /** Resolves once the transport has closed. */
  readonly closed: Promise<void>;
  readonly #decoder = new FrameDecoder(64 * 1024 * 1024);
  readonly #frames: Frame[] = [];
  #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(transport: Transport) {
    this.transport = transport;
    this.closed = new Promise((resolve) => {
      transport.start({
        onData: (bytes) => this.#onData(bytes),
        onDrain: () => undefined,
        onClose: () => {
          this.#isClosed = true;
          this.#wake();
          resolve();
        },
      });
    });
  }

  /** Sends what `write` writes, in one piece. */
  send(write: (to: MessageWriter) => void): void {
    const to = new MessageWriter();
    write(to);
    this.sendBytes(Uint8Array.from(to.take()));
  }

  sendBytes(bytes: Uint8Array): void {
    this.transport.write(bytes);
  }

  /** Shakes hands as a client; resolves with the answer, whatever it is. */
  async hello(): Promise<Frame> {
    this.send((to) => writeClientHello(to, clientHello('frame peer')));
    return this.next();
  }

  /** The next frame (of a type: those before it are dropped). Rejects when the transport closes first. */
  async next(type?: FrameType): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined && (type === undefined || frame.type === type)) return frame;
      if (frame !== undefined) continue;
      if (this.#isClosed) throw new Error('the transport closed before the frame came');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Frames that came and were not taken. */
  get waiting(): readonly Frame[] {
    return this.#frames;
  }

  #onData(bytes: Uint8Array): void {
    this.#decoder.push(bytes);
    for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
      this.#frames.push({ ...frame, payload: Uint8Array.from(frame.payload) });
    }
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
