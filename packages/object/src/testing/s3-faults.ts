/** Scripted faults of an S3 endpoint: how an answer, or none, reaches the client. Shared by the double and by a proxy before a real server. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface S3Fault {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST';
  /** Only requests whose key contains this. */
  readonly key?: string;
  /** How many requests meet it; default 1. */
  readonly times?: number;
  readonly effect: S3FaultEffect;
}

export type S3FaultEffect =
  /** Answered without doing anything. */
  | { readonly kind: 'status'; readonly status: number; readonly code?: string; readonly headers?: Readonly<Record<string, string>> }
  /** The connection is reset before anything is done. */
  | { readonly kind: 'reset' }
  /** It is done, and the connection reset instead of an answer. */
  | { readonly kind: 'lose-reply' }
  /** It is done, and the connection reset within the answer's headers. */
  | { readonly kind: 'cut-headers' }
  /** The answer's headers are whole and right, its body ends half-way. */
  | { readonly kind: 'cut' }
  /** The answer's first byte is wrong. */
  | { readonly kind: 'flip' }
  /** Headers and half of the body, then silence. */
  | { readonly kind: 'stall' }
  /** Never answered. */
  | { readonly kind: 'hang' };

export interface S3Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | Buffer | undefined;
}

/** Faults wait here until a request of theirs comes; each is met in the order in which they were given. */
export class S3FaultScript {
  readonly #faults: { readonly fault: S3Fault; left: number }[] = [];

  inject(...faults: readonly S3Fault[]): void {
    this.#faults.push(...faults.map((fault) => ({ fault, left: fault.times ?? 1 })));
  }

  clear(): void {
    this.#faults.length = 0;
  }

  /** Answers one request: by `act`, or as the fault that waits for it says. */
  async answer(request: IncomingMessage, response: ServerResponse, key: string, act: () => S3Answer | Promise<S3Answer>): Promise<void> {
    const effect = this.#take(request.method ?? '', key);
    switch (effect?.kind) {
      case 'hang':
        return;
      case 'reset':
        return reset(request);
      case 'status': {
        const body = effect.code === undefined ? '' : `<Error><Code>${effect.code}</Code></Error>`;
        const headers = { 'content-type': 'application/xml', 'content-length': String(body.length), ...effect.headers };
        response.writeHead(effect.status, headers).end(request.method === 'HEAD' ? undefined : body);
        return;
      }
    }
    const answer = await act();
    const bytes = Buffer.from(answer.body ?? '');
    const half = bytes.subarray(0, bytes.length >> 1);
    switch (effect?.kind) {
      case 'lose-reply':
        return reset(request);
      case 'cut-headers':
        request.socket.write('HTTP/1.1 200 OK\r\ncontent-le', () => reset(request));
        return;
      case 'flip':
        if (bytes[0] !== undefined) bytes[0] ^= 1;
        break;
    }
    response.writeHead(answer.status, { 'content-length': bytes.length, ...answer.headers });
    if (effect?.kind === 'cut') response.write(half, () => reset(request));
    else if (effect?.kind === 'stall') response.write(half);
    else response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  #take(method: string, key: string): S3FaultEffect | undefined {
    const at = this.#faults.findIndex(({ fault }) => fault.method === method && key.includes(fault.key ?? ''));
    const entry = this.#faults[at];
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left === 0) this.#faults.splice(at, 1);
    return entry.fault.effect;
  }
}

function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
