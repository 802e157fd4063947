/** Whole writes and reads of files; plain descriptors cost less than file handles. */
import { close, fdatasync, open, read, write } from 'node:fs';
import { promisify } from 'node:util';

const openFile = promisify(open);
const closeFile = promisify(close);
const flushFile = promisify(fdatasync);

/** Makes a file and flushes its bytes. */
export async function writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
  const fd = await openFile(path, 'wx');
  try {
    await writeFully(fd, bytes);
    await flushFile(fd);
  } finally {
    await closeFile(fd);
  }
}

/** fs.write and fs.read may move fewer bytes than asked. */
export async function writeFully(fd: number, bytes: Uint8Array, position = 0): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await new Promise<number>((resolved, rejected) => {
      write(fd, bytes, done, bytes.length - done, position + done, (error, count) => (error === null ? resolved(count) : rejected(error)));
    });
  }
}

export async function readFully(fd: number, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const count = await new Promise<number>((resolved, rejected) => {
      read(fd, into, done, into.length - done, position + done, (error, got) => (error === null ? resolved(got) : rejected(error)));
    });
    if (count === 0) break;
    done += count;
  }
  return done;
}
