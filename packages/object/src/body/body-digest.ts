/**
 * sha256 of a body, off the event loop.
 *
 * Small bodies are hashed where they are; larger ones in worker threads that live as long as the process, are started
 * when first needed and do not keep the process alive. Bytes are shared with the worker (SharedArrayBuffer) rather
 * than moved, so that the same buffer can be on its way to the store meanwhile: it may be reused only when `update` resolved.
 */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { NokvError } from '@nokv/types';
import type { DigestAnswer, DigestRequest } from './digest-worker.js';

export interface BodyDigest {
  update(bytes: Uint8Array): Promise<void> | void;
  /** `sha256:<hex>` of everything given. */
  finish(): Promise<string>;
  /** Ends it without a result. */
  abandon(): void;
}

/** Below this, handing bytes to a thread costs more than hashing them. */
export const LOCAL_DIGEST_BYTES_MAX = 1024 * 1024;

const WORKERS_MAX = Math.min(2, availableParallelism());

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function localDigest(): BodyDigest {
  const hash = createHash('sha256');
  return {
    update: (bytes) => void hash.update(bytes),
    finish: async () => `sha256:${hash.digest('hex')}`,
    abandon: () => undefined,
  };
}

/** Bytes over a SharedArrayBuffer are shared with the thread, others are copied for it. */
export function sharedDigest(): BodyDigest {
  const thread = leastBusy();
  const id = thread.open();
  return {
    update: async (bytes) => {
      if (bytes.buffer instanceof SharedArrayBuffer) return void (await thread.ask({ kind: 'update', id, bytes }));
      // A message with a view takes all of the memory behind it along.
      const copy = Uint8Array.from(bytes);
      await thread.ask({ kind: 'update', id, bytes: copy }, [copy.buffer]);
    },
    finish: async () => {
      try {
        return `sha256:${await thread.ask({ kind: 'finish', id })}`;
      } finally {
        thread.close(id);
      }
    },
    abandon: () => thread.close(id),
  };
}

const threads: DigestThread[] = [];
let nextId = 1;

function leastBusy(): DigestThread {
  const idle = threads.find(({ load }) => load === 0);
  if (idle !== undefined) return idle;
  if (threads.length < WORKERS_MAX) {
    const thread = new DigestThread(() => threads.splice(threads.indexOf(thread), 1));
    threads.push(thread);
    return thread;
  }
  return threads.reduce((best, thread) => (thread.load < best.load ? thread : best));
}

interface Waiting {
  readonly id: number;
  readonly resolve: (hex: string | undefined) => void;
  readonly reject: (error: Error) => void;
}

class DigestThread {
  readonly #worker: Worker;
  readonly #open = new Set<number>();
  /** Answers come in the order of the questions. */
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;

  constructor(onEnd: () => void) {
    this.#worker = new Worker(new URL('../../dist/body/digest-worker.js', import.meta.url), { execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', ({ hex }: DigestAnswer) => {
      const first = this.#waiting.shift();
      if (this.#waiting.length === 0) this.#worker.unref();
      first?.resolve(hex);
    });
    const fail = (cause: unknown): void => {
      if (this.#failure !== undefined) return;
      this.#failure = new NokvError('internal', 'the digest thread ended; try again', { cause });
      onEnd();
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    };
    this.#worker.on('error', fail);
    this.#worker.on('exit', (code) => fail(new Error(`exit code ${code}`)));
  }

  get load(): number {
    return this.#open.size;
  }

  open(): number {
    const id = nextId++;
    this.#open.add(id);
    return id;
  }

  close(id: number): void {
    if (this.#open.delete(id) && this.#failure === undefined) this.#worker.postMessage({ kind: 'abandon', id } satisfies DigestRequest);
  }

  ask(request: DigestRequest, transfer: readonly ArrayBuffer[] = []): Promise<string | undefined> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) this.#worker.ref();
      this.#waiting.push({ id: request.id, resolve, reject });
      this.#worker.postMessage(request, transfer);
    });
  }
}
