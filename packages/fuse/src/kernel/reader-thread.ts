/** The thread of `threadSource`: one blocking read, one message; ends when the device is gone. */
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { descriptor, requestBytesMax } = workerData as { readonly descriptor: number; readonly requestBytesMax: number };
const buffer = new Uint8Array(requestBytesMax);
/** Below this a copy costs less than a transfer. */
const COPY_BYTES_MAX = 64 * 1024;

// Runs until the kernel lets go of the mount.
for (;;) {
  let bytes: number;
  try {
    bytes = readSync(descriptor, buffer, 0, buffer.length, null);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOENT') continue;
    break;
  }
  const request = buffer.slice(0, bytes);
  parentPort?.postMessage(request, bytes > COPY_BYTES_MAX ? [request.buffer] : []);
}
