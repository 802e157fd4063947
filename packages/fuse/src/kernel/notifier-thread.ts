/** The thread of {@link Notifier}: writes each message; a node or name that the kernel does not know is no failure. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { descriptor } = workerData as { readonly descriptor: number };

parentPort?.on('message', (messages: readonly Uint8Array[]) => {
  for (const message of messages) {
    try {
      writeSync(descriptor, message);
    } catch {
      // ENOENT: nothing cached under that name. ENODEV, EBADF: unmounted.
    }
  }
});
