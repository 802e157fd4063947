/**
 * Reads the device in a thread of its own that blocks in read(2) and hands over what it has: small requests many at once, large
 * ones with their buffer. Slower than `polledSource` by two wake-ups a request; for runtimes that give no stream handle.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { RequestListener, RequestSource } from './request-source.js';

/** `descriptor` is blocking and belongs to the source from here on. */
export function threadSource(descriptor: number, listener: RequestListener): RequestSource {
  const worker = new Worker(new URL('../../dist/kernel/reader-thread.js', import.meta.url), {
    workerData: { descriptor, requestBytesMax: listener.buffer.length },
  });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.on('message', (request: Uint8Array) => {
    listener.buffer.set(request);
    listener.onRequest(request.length);
  });
  worker.on('error', () => undefined);
  void ended.then(() => listener.onEnd());
  return {
    kind: 'thread',
    stir: () => undefined,
    async close() {
      // The thread leaves read(2) when the kernel lets go of the mount; before that it could not be stopped.
      await ended;
      closeSync(descriptor);
    },
  };
}
