/** Client side of the echo floor. */
import { connect, type Socket } from 'node:net';
import { AdaptivePoller } from '@nokv/protocol';
import { systemClock } from '@nokv/types';
import { startNode, type Child } from '../child.js';
import { FrameReader, frame } from './frames.js';

export interface EchoOptions {
  /** Both sides stay awake for a while after a message, by the rules that our client and server follow. */
  readonly polls: boolean;
  /** Directory of an LMDB environment in which the server looks a row up for each message. */
  readonly getIn?: string;
}

export class EchoFloor {
  readonly #child: Child;
  readonly #socket: Socket;
  readonly #poller: AdaptivePoller | undefined;
  readonly #waiting = new Map<number, () => void>();
  readonly #queued: Buffer[] = [];
  #next = 0;

  private constructor(child: Child, socket: Socket, poller: AdaptivePoller | undefined) {
    this.#child = child;
    this.#socket = socket;
    this.#poller = poller;
    const reader = new FrameReader();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      poller?.received();
      for (const message of reader.read(chunk)) {
        const { id } = message as { id: number };
        this.#waiting.get(id)?.();
        this.#waiting.delete(id);
      }
    });
  }

  static async start({ polls, getIn }: EchoOptions): Promise<EchoFloor> {
    const args = [...(polls ? ['--poll'] : []), ...(getIn === undefined ? [] : ['--get', getIn])];
    const child = startNode(new URL('./echo-server.js', import.meta.url), args);
    const port = Number(await child.line());
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    return new EchoFloor(child, socket, polls ? new AdaptivePoller(systemClock) : undefined);
  }

  /** One round trip of a message the size of a stat. */
  readonly call = (): Promise<void> => {
    const id = this.#next++;
    if (this.#queued.length === 0) {
      queueMicrotask(() => {
        this.#poller?.sent();
        this.#socket.write(Buffer.concat(this.#queued));
        this.#queued.length = 0;
      });
    }
    this.#queued.push(frame({ id, op: 'stat', path: '/bench/directory/file-000001' }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  };

  async stop(): Promise<void> {
    this.#socket.destroy();
    await this.#child.stop();
  }
}
