/**
 * A filesystem served over the FUSE kernel protocol.
 *
 * Invariants: every request that wants a reply gets exactly one; a reply is built and written without an await in between, so one
 * reply buffer serves all; the kernel's lookup counts are those of the entries that were written to it. What a request lends
 * (its payload) is used before the handler first awaits.
 */
import { writeSync, writevSync } from 'node:fs';
import { ERRNO, SystemError, errnoFor } from '../session/errno.js';
import type { FileSystem, Session } from '../session/file-system.js';
import { answerRequest, type Reply } from './answer-request.js';
import { negotiate } from './negotiate.js';
import { mountDevice, unmountDevice, type DeviceOptions } from './mount-device.js';
import { Notifier } from './notifier.js';
import { polledSource } from './polled-source.js';
import { MAX_WRITE_BYTES, Opcode, REQUEST_BYTES_MAX } from './protocol.js';
import { ReplyWriter } from './reply-writer.js';
import { RequestReader } from './request-reader.js';
import type { RequestListener, RequestSource } from './request-source.js';
import { threadSource } from './thread-source.js';

export interface KernelSessionOptions extends Omit<DeviceOptions, 'isBlocking' | 'readOnly'> {
  /** How requests are read; default `polled` where the runtime can. */
  readonly requests?: 'polled' | 'thread' | undefined;
  readonly log: (line: string) => void;
}

/** After the caller of a request was interrupted, its answer may still come for this long before it is told EINTR. */
const INTERRUPT_GRACE_MS = 1000;

/** Mounts; resolves when the kernel has shaken hands. */
export async function openKernelSession(fileSystem: FileSystem, options: KernelSessionOptions): Promise<Session> {
  const isBlocking = options.requests === 'thread';
  const device = { ...options, readOnly: fileSystem.readOnly };
  let descriptor = await mountDevice({ ...device, isBlocking });
  const session = new KernelSession(fileSystem, options);
  if (!isBlocking && session.poll(descriptor)) {
    await session.ready;
    return session;
  }
  if (!isBlocking) {
    await unmountDevice(options.directory, true);
    descriptor = await mountDevice({ ...device, isBlocking: true });
  }
  session.readInThread(descriptor);
  await session.ready;
  return session;
}

class KernelSession implements Session, RequestListener {
  readonly buffer = new Uint8Array(new ArrayBuffer(REQUEST_BYTES_MAX));
  readonly #request = new RequestReader(this.buffer);
  readonly #reply = new ReplyWriter(MAX_WRITE_BYTES + 4096);
  /** Requests that wait for a promise, by their unique number; true once answered early. */
  readonly #inFlight = new Map<number, { answered: boolean }>();
  readonly closed: Promise<void>;
  readonly ready: Promise<void>;
  #close: () => void = () => undefined;
  #isReady: () => void = () => undefined;
  #descriptor = -1;
  #source: RequestSource | undefined;
  #notifier: Notifier | undefined;
  #isClosed = false;

  constructor(
    readonly fileSystem: FileSystem,
    readonly options: KernelSessionOptions,
  ) {
    this.closed = new Promise((resolve) => (this.#close = resolve));
    this.ready = new Promise((resolve) => (this.#isReady = resolve));
  }

  poll(descriptor: number): boolean {
    this.#source = polledSource(descriptor, this);
    if (this.#source === undefined) return false;
    this.#start(descriptor);
    return true;
  }

  readInThread(descriptor: number): void {
    this.#source = threadSource(descriptor, this);
    this.#start(descriptor);
  }

  #start(descriptor: number): void {
    this.#descriptor = descriptor;
    this.#notifier = new Notifier(descriptor);
  }

  invalidateEntry(parent: number, name: Uint8Array): void {
    if (!this.#isClosed) this.#notifier?.invalidateEntry(parent, name);
  }

  invalidateNode(node: number, data: boolean): void {
    if (!this.#isClosed) this.#notifier?.invalidateNode(node, data);
  }

  async unmount(force: boolean): Promise<void> {
    if (!this.#isClosed) await unmountDevice(this.options.directory, force);
    // A lazy detach ends the session only when the last open file is closed.
    if (!force) await this.closed;
  }

  onEnd(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isReady();
    // The descriptor's number may be used again once closed: the notifier must be gone before.
    void Promise.resolve(this.#notifier?.close())
      .then(() => this.#source?.close())
      .finally(this.#close);
  }

  onRequest(bytes: number): void {
    const request = this.#request;
    if (!request.begin(bytes)) {
      this.options.log(`dropped a malformed request of ${bytes} bytes`);
      return;
    }
    const { unique, opcode } = request;
    try {
      if (opcode === Opcode.INIT) return this.#initialise(unique);
      if (opcode === Opcode.FORGET) return this.fileSystem.forget(request.node, request.u64());
      if (opcode === Opcode.BATCH_FORGET) return this.#forgetBatch();
      if (opcode === Opcode.INTERRUPT) return this.#interrupt(request.u64());
      if (opcode === Opcode.DESTROY) return this.#sendError(unique, 0);
      const reply = answerRequest(this.fileSystem, request);
      if (reply instanceof Promise) this.#settleLater(unique, reply);
      else this.#send(unique, reply);
    } catch (error) {
      this.#sendError(unique, this.#errno(error, opcode));
    }
  }

  #initialise(unique: number): void {
    this.#reply.begin(unique);
    if (negotiate(this.#request, this.#reply)) this.#isReady();
    this.#write(this.#reply.finish());
  }

  #forgetBatch(): void {
    const request = this.#request;
    const count = request.u32();
    request.u32();
    for (let i = 0; i < count && request.remaining >= 16; i++) this.fileSystem.forget(request.u64(), request.u64());
  }

  #settleLater(unique: number, reply: Promise<Reply>): void {
    const entry = { answered: false };
    this.#inFlight.set(unique, entry);
    const { opcode } = this.#request;
    reply.then(
      (value) => {
        this.#inFlight.delete(unique);
        if (entry.answered) return value.abandon?.();
        this.#send(unique, value);
        this.#source?.stir();
      },
      (error: unknown) => {
        this.#inFlight.delete(unique);
        const errno = this.#errno(error, opcode);
        if (entry.answered) return;
        this.#sendError(unique, errno);
        this.#source?.stir();
      },
    );
  }

  /**
   * The caller has a signal waiting. Ordinary disks do not answer EINTR, so the request gets time to finish; only one that hangs
   * (the server is away) is given up, so that the caller can be killed.
   */
  #interrupt(unique: number): void {
    const entry = this.#inFlight.get(unique);
    if (entry === undefined) return;
    setTimeout(() => {
      if (this.#inFlight.get(unique) !== entry || entry.answered) return;
      entry.answered = true;
      this.#sendError(unique, ERRNO.EINTR);
    }, INTERRUPT_GRACE_MS).unref();
  }

  #send(unique: number, reply: Reply): void {
    const writer = this.#reply;
    writer.begin(unique);
    reply.write?.(writer);
    const { data } = reply;
    let sent: boolean;
    if (data === undefined || data.length === 0) sent = this.#write(writer.finish());
    else
      sent = this.#write(
        writer.finish(
          0,
          data.reduce((sum, chunk) => sum + chunk.length, 0),
        ),
        data,
      );
    if (!sent) reply.abandon?.();
  }

  #sendError(unique: number, errno: number): void {
    this.#reply.begin(unique);
    this.#write(this.#reply.finish(errno));
  }

  /** False when the kernel no longer wanted it (ENOENT) or is gone. */
  #write(head: Uint8Array, data?: readonly Uint8Array[]): boolean {
    if (this.#isClosed) return false;
    try {
      if (data === undefined) writeSync(this.#descriptor, head);
      else writevSync(this.#descriptor, [head, ...data]);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENODEV') this.options.log(`the kernel refused a reply: ${code}`);
      return false;
    }
  }

  #errno(error: unknown, opcode: number): number {
    const errno = errnoFor(error);
    if (errno === ERRNO.EIO && !(error instanceof SystemError)) {
      this.options.log(`request ${opcode} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    return errno;
  }
}
