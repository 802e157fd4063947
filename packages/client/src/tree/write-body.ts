/** A body into a local file: with holes for its zeros, and in several attempts. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { NokvError, formatName } from '@nokv/types';
import type { BodyHandle } from '../body-handle.js';
import type { WriteCall } from './local-writer.js';

/** A chunk of zeros becomes a hole when it is at least a page long. */
const HOLE_BYTES_MIN = 4096;
const PRIVATE_FILE = 0o600;
const PARTIAL_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
/** A cut may leave the end of a file longer than what was written of it: fetched again from a boundary before. */
const RESUME_STEP_BYTES = 1024 * 1024;

/** Writes the bytes of a body from `from` on; zeros of at least a page become holes. */
export async function writeBody(file: FileHandle, body: BodyHandle, from: number, { signal, onBytes }: WriteCall): Promise<void> {
  let at = from;
  for await (const chunk of body.stream({ reuse: true, signal, offset: from, length: body.size - from })) {
    if (chunk.length < HOLE_BYTES_MIN || !isZero(chunk)) await writeAll(file, chunk, at);
    at += chunk.length;
    onBytes(chunk.length);
  }
  // Zeros at the end were not written.
  await file.truncate(body.size);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

function isZero(bytes: Uint8Array): boolean {
  for (let from = 0; from < bytes.length; from += ZEROS.length) {
    const part = bytes.subarray(from, from + ZEROS.length);
    if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/**
 * Fetches what `partial` lacks of a body and checks the whole against the digest. What does not match is fetched anew, once. What was
 * fetched stays when this fails, unless it is wrong.
 */
export async function fetchResumed(partial: Buffer, body: BodyHandle, call: WriteCall): Promise<void> {
  const file = await open(partial, PARTIAL_FLAGS, PRIVATE_FILE);
  try {
    const found = await file.stat();
    if (!found.isFile() || (process.geteuid !== undefined && found.uid !== process.geteuid())) {
      throw new NokvError('exists', `${formatName(partial)} is in the way and not ours; remove it`);
    }
    const isCheckable = body.digest?.startsWith('sha256:') === true;
    let from = isCheckable ? Math.floor(Math.min(found.size, body.size) / RESUME_STEP_BYTES) * RESUME_STEP_BYTES : 0;
    call.onBytes(from);
    // At most twice: what was found, and then from the beginning.
    for (;;) {
      await writeBody(file, body, from, call);
      const digest = isCheckable ? await digestOf(file, call.signal) : body.digest;
      if (digest === body.digest) return;
      if (from === 0) {
        await unlink(partial);
        throw new NokvError('corrupt', `expected a body with digest ${body.digest}, fetched one with ${digest}`);
      }
      from = 0;
      call.onBytes(-body.size);
    }
  } finally {
    await file.close();
  }
}

async function digestOf(file: FileHandle, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(RESUME_STEP_BYTES);
  // Ends with the file.
  for (let at = 0; ;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return `sha256:${hash.digest('hex')}`;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
