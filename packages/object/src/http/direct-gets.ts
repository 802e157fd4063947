/**
 * GETs over plain kept-alive sockets whose bodies the kernel writes straight to where they are wanted. Node's own client gives bodies
 * in chunks of fresh memory, which costs more than everything else about reading a block.
 *
 * Invariants: a connection carries one call at a time and is used again only after an answer of stated length came whole and nothing behind
 * it. A connection that was idle may have been closed by the server at any time: where it ends before a byte of the answer came,
 * the call is sent once more over a fresh one, which a GET allows. What is beyond this client (bodies in chunks, or as long as the
 * connection) is told by {@link NotDirect}, and the caller asks again by Node's client.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import {
  CONNECT_MS,
  HttpFailure,
  SOCKETS_MAX,
  cutAnswer,
  failureOf,
  noAnswer,
  noConnection,
  tooLongAnswer,
  type HttpAnswer,
  type HttpCall,
} from './http-call.js';
import { HEAD_BYTES_MAX, parseResponseHead, type ResponseHead } from './response-head.js';

/** The answer has a form that this client leaves to Node's. */
export class NotDirect extends Error {}

/** A server that says how long it keeps an idle connection is believed, less this. */
const IDLE_MARGIN_MS = 1000;
/** Without a word from it: long before the usual minutes. */
const IDLE_MS_MAX = 20_000;

interface Settle {
  readonly resolve: (answer: HttpAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface Waiting extends Settle {
  readonly call: HttpCall;
}

export class DirectGets {
  readonly #target: NetConnectOpts;
  /** The one used last is used first: those that are not needed grow old. */
  readonly #idle: GetConnection[] = [];
  readonly #busy = new Set<GetConnection>();
  readonly #queue: Waiting[] = [];
  #isClosed = false;

  constructor(target: NetConnectOpts) {
    this.#target = target;
  }

  get(call: HttpCall): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (call.signal?.aborted === true) return reject(new HttpFailure('aborted', call.signal.reason));
      this.#queue.push({ call, resolve, reject });
      this.#next();
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#idle.splice(0), ...this.#busy]) connection.destroy();
  }

  #next(): void {
    while (this.#queue.length > 0 && this.#busy.size < SOCKETS_MAX) {
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      if (waiting.call.signal?.aborted === true) waiting.reject(new HttpFailure('aborted', waiting.call.signal.reason));
      else this.#send(waiting, this.#takeIdle());
    }
  }

  #takeIdle(): GetConnection | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.isUsable()) return last;
      last.destroy();
    }
    return undefined;
  }

  #send(waiting: Waiting, known: GetConnection | undefined): void {
    const connection = known ?? new GetConnection(connectTo(this.#target));
    this.#busy.add(connection);
    connection.send(waiting.call).then(
      (answer) => {
        this.#busy.delete(connection);
        if (connection.isUsable() && !this.#isClosed) this.#keep(connection);
        else connection.destroy();
        waiting.resolve(answer);
        this.#next();
      },
      (error: Error) => {
        this.#busy.delete(connection);
        connection.destroy();
        const isStale = known !== undefined && !connection.hasAnswered && waiting.call.signal?.aborted !== true;
        if (isStale && error instanceof HttpFailure && error.kind === 'broken' && !this.#isClosed) return this.#send(waiting, undefined);
        waiting.reject(error);
        this.#next();
      },
    );
  }

  #keep(connection: GetConnection): void {
    this.#idle.push(connection);
    connection.rest(() => {
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
      connection.destroy();
    });
  }
}

/** With memory that it may fill: a function gives the next part each time. */
function connectTo(target: NetConnectOpts): (into: () => Uint8Array, received: (bytes: number) => void) => Socket {
  return (into, received) =>
    connect({
      ...target,
      noDelay: true,
      onread: { buffer: into as () => Buffer, callback: (bytes) => (received(bytes), true) },
    } as NetConnectOpts);
}

class GetConnection {
  readonly #socket: Socket;
  readonly #scratch = Buffer.allocUnsafeSlow(HEAD_BYTES_MAX);
  /** Bytes of the head so far. */
  #headBytes = 0;
  #head: ResponseHead | undefined;
  #body: Uint8Array = this.#scratch;
  #filled = 0;
  #call: HttpCall | undefined;
  #settle: Settle | undefined;
  #onAbort: (() => void) | undefined;
  #onGone: (() => void) | undefined;
  #connecting: NodeJS.Timeout | undefined;
  #usableUntilMs = Number.POSITIVE_INFINITY;
  #isBroken = false;
  hasAnswered = false;

  constructor(open: (into: () => Uint8Array, received: (bytes: number) => void) => Socket) {
    this.#socket = open(
      () => this.#into(),
      (bytes) => this.#received(bytes),
    );
    this.#connecting = setTimeout(() => this.#fail(noConnection()), CONNECT_MS);
    this.#socket.once('connect', () => clearTimeout(this.#connecting));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('timeout', () => this.#fail(this.#call === undefined ? new Error('idle') : noAnswer(this.#call.idleMs)));
    this.#socket.on('end', () => this.#fail(this.#cut()));
    this.#socket.on('close', () => this.#fail(this.#cut()));
  }

  isUsable(): boolean {
    return !this.#isBroken && !this.#socket.destroyed && performance.now() < this.#usableUntilMs;
  }

  send(call: HttpCall): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      this.#call = call;
      this.#settle = { resolve, reject };
      this.#onGone = undefined;
      this.hasAnswered = false;
      this.#headBytes = 0;
      this.#head = undefined;
      const { signal, idleMs } = call;
      this.#socket.ref();
      this.#socket.setTimeout(idleMs);
      this.#onAbort = (): void => this.#fail(new HttpFailure('aborted', signal?.reason));
      signal?.addEventListener('abort', this.#onAbort, { once: true });
      try {
        this.#socket.write(requestOf(call), 'latin1');
      } catch (error) {
        this.#fail(error as Error);
      }
    });
  }

  /** Waits for the next call without holding the process; `onGone` when there will be none over this connection. */
  rest(onGone: () => void): void {
    this.#onGone = onGone;
    this.#socket.setTimeout(IDLE_MS_MAX);
    this.#socket.unref();
  }

  destroy(): void {
    this.#isBroken = true;
    clearTimeout(this.#connecting);
    this.#socket.destroy();
  }

  #into(): Uint8Array {
    return this.#head === undefined ? this.#scratch.subarray(this.#headBytes) : this.#body.subarray(this.#filled);
  }

  #received(bytes: number): void {
    if (this.#call === undefined || this.#settle === undefined) return this.#fail(new Error('bytes without a question'));
    this.hasAnswered = true;
    if (this.#head !== undefined) {
      this.#filled += bytes;
      return this.#finish(this.#head);
    }
    this.#headBytes += bytes;
    try {
      this.#readHead();
    } catch (error) {
      this.#fail(error instanceof HttpFailure || error instanceof NotDirect ? error : new HttpFailure('broken', error));
    }
  }

  #readHead(): void {
    const head = parseResponseHead(this.#scratch.subarray(0, this.#headBytes));
    if (head === undefined) return;
    if (head.status < 200) {
      // An interim answer; the one that counts follows.
      this.#scratch.copyWithin(0, head.end, this.#headBytes);
      this.#headBytes -= head.end;
      return this.#readHead();
    }
    const { contentLength, status } = head;
    const { into, answerBytesMax } = this.#call as HttpCall;
    if (contentLength === undefined) throw new NotDirect();
    if (contentLength > answerBytesMax) throw tooLongAnswer(answerBytesMax);
    const here = this.#headBytes - head.end;
    if (here > contentLength) throw new Error(`the answer goes on behind its ${contentLength} bytes`);
    const fits = status < 300 && into !== undefined && into.length >= contentLength;
    this.#body = fits ? into.subarray(0, contentLength) : Buffer.allocUnsafeSlow(contentLength);
    this.#body.set(this.#scratch.subarray(head.end, this.#headBytes));
    this.#filled = here;
    this.#head = head;
    this.#finish(head);
  }

  #finish({ status, headers, keepsAlive }: ResponseHead): void {
    if (this.#filled < this.#body.length) return;
    const body = this.#body;
    const settle = this.#settle;
    this.#release();
    this.#usableUntilMs = keepsAlive ? performance.now() + restMs(headers['keep-alive']) : 0;
    settle?.resolve({ status, headers, body: Buffer.from(body.buffer, body.byteOffset, body.length) });
  }

  #fail(error: Error): void {
    this.#isBroken = true;
    const settle = this.#settle;
    const signal = this.#call?.signal;
    this.#release();
    this.destroy();
    settle?.reject(error instanceof NotDirect ? error : failureOf(error, signal));
    this.#onGone?.();
  }

  #release(): void {
    if (this.#onAbort !== undefined) this.#call?.signal?.removeEventListener('abort', this.#onAbort);
    this.#onAbort = undefined;
    this.#call = undefined;
    this.#settle = undefined;
    // Between calls whatever comes is read here, and ends the connection.
    this.#head = undefined;
    this.#headBytes = 0;
    this.#body = this.#scratch;
  }

  #cut(): Error {
    if (this.#head !== undefined) return cutAnswer(this.#filled, this.#body.length);
    return new HttpFailure('broken', Object.assign(new Error('the connection ended before the answer came'), { code: 'ECONNRESET' }));
  }
}

function restMs(keepAlive: string | string[] | undefined): number {
  const stated = typeof keepAlive === 'string' ? /timeout=(\d{1,6})/.exec(keepAlive)?.[1] : undefined;
  return stated === undefined ? IDLE_MS_MAX : Math.min(IDLE_MS_MAX, Number(stated) * 1000 - IDLE_MARGIN_MS);
}

function requestOf({ method, path, headers }: HttpCall): string {
  let text = `${method} ${path} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
  text += 'connection: keep-alive\r\n\r\n';
  // What would end a field early would begin another one.
  if (/[^\t\r\n\x20-\x7e\x80-\xff]/.test(text) || text.split('\r\n').length !== Object.keys(headers).length + 4) {
    throw new HttpFailure('broken', new Error('a header or path has characters that cannot be sent'));
  }
  return text;
}
