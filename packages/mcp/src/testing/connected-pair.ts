/** A served plane and the streams of its client, in one process. */
import type { Plane } from '@nokv/agent';
import { systemClock } from '@nokv/types';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { serveMcp, type McpService, type ServeMcpOptions } from '../serve-mcp.js';
import { JsonLinesTransport } from './json-lines-transport.js';

export interface ConnectedPair {
  readonly service: McpService;
  readonly input: PassThrough;
  readonly output: PassThrough;
  transport(): JsonLinesTransport;
}

export async function connectedPair(plane: Plane, options: Partial<ServeMcpOptions> = {}): Promise<ConnectedPair> {
  const input = new PassThrough();
  const output = new PassThrough();
  const service = await serveMcp({ plane, clock: systemClock, input, output, ...options });
  return { service, input, output, transport: () => new JsonLinesTransport(output, input) };
}

type Message = Readonly<Record<string, unknown>>;

/** Speaks JSON-RPC by hand, for what official clients would not say. */
export class RawClient {
  readonly messages: Message[] = [];
  readonly #pair: ConnectedPair;
  readonly #waiters: (() => void)[] = [];

  constructor(pair: ConnectedPair) {
    this.#pair = pair;
    createInterface({ input: pair.output }).on('line', (line) => {
      this.messages.push(JSON.parse(line) as Message);
      for (const wake of this.#waiters.splice(0)) wake();
    });
  }

  send(message: Message): void {
    this.#pair.input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  async answer(id: number): Promise<Message> {
    for (;;) {
      const found = this.messages.find((message) => message.id === id);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  request(id: number, method: string, params: Message = {}): Promise<Message> {
    this.send({ id, method, params });
    return this.answer(id);
  }
}
