/**
 * Sends notifications from a thread of its own. The kernel may hold a lock that it only gives back after we answered a request,
 * so a notification must never be written by the thread that answers. The queue is the thread's message queue; duplicates
 * that wait together are sent once.
 */
import { Worker } from 'node:worker_threads';
import { invalidateEntryMessage, invalidateInodeMessage } from './notification.js';

export class Notifier {
  readonly #worker: Worker;
  #batch = new Map<string, Uint8Array>();
  #isScheduled = false;

  constructor(descriptor: number) {
    this.#worker = new Worker(new URL('../../dist/kernel/notifier-thread.js', import.meta.url), { workerData: { descriptor } });
    this.#worker.unref();
    // A notifier that died costs freshness within the cache timeout, not the mount.
    this.#worker.on('error', () => undefined);
  }

  invalidateEntry(parent: number, name: Uint8Array): void {
    this.#add(`e${parent}/${Buffer.from(name).toString('latin1')}`, invalidateEntryMessage(parent, name));
  }

  invalidateNode(node: number, data: boolean): void {
    this.#add(`${data ? 'd' : 'a'}${node}`, invalidateInodeMessage(node, data));
  }

  /** The thread ends once its queue is empty or the device is gone. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #add(key: string, message: Uint8Array): void {
    this.#batch.set(key, message);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#worker.postMessage([...this.#batch.values()]);
      this.#batch = new Map();
    });
  }
}
