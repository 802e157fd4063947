/** Client side of the echo floor. */
import { connect, type Socket } from 'node:net';
import { startNode, type Child } from '../child.js';
import { FrameReader, frame } from './frames.js';

export class EchoFloor {
  private readonly waiting = new Map<number, () => void>();
  private readonly queued: Buffer[] = [];
  private next = 0;

  private constructor(
    private readonly child: Child,
    private readonly socket: Socket,
  ) {
    const reader = new FrameReader();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.read(chunk)) {
        const { id } = message as { id: number };
        this.waiting.get(id)?.();
        this.waiting.delete(id);
      }
    });
  }

  static async start(poll: boolean): Promise<EchoFloor> {
    const child = startNode(new URL('./echo-server.js', import.meta.url), poll ? ['--poll'] : []);
    const port = Number(await child.line());
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    return new EchoFloor(child, socket);
  }

  /** One round trip of a message the size of a stat. */
  readonly call = (): Promise<void> => {
    const id = this.next++;
    if (this.queued.length === 0) {
      queueMicrotask(() => {
        this.socket.write(Buffer.concat(this.queued));
        this.queued.length = 0;
      });
    }
    this.queued.push(frame({ id, op: 'stat', path: '/bench/directory/file-000001' }));
    return new Promise((resolve) => this.waiting.set(id, resolve));
  };

  async stop(): Promise<void> {
    this.socket.destroy();
    await this.child.stop();
  }
}
