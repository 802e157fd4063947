/**
 * The MCP server over a pair of streams. Both eras of the protocol are answered on the same connection: revisions 2024-11-05
 * to 2025-11-25 with their handshake, and 2026-07-28 without one. Nothing but protocol is written to the output.
 *
 * When the input ends, what was asked before is still answered (so that `printf … | nokv mcp` works), then it closes.
 */
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { Budget, Plane } from '@nokv/agent';
import { NokvError, formatName, parsePath, type Clock } from '@nokv/types';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { makeMcpServer } from './make-mcp-server.js';

export interface ServeMcpOptions {
  readonly plane: Plane;
  readonly clock: Clock;
  /** Where the client's messages come from and go to: standard input and output. */
  readonly input: Readable;
  readonly output: Writable;
  /** Absolute; nothing outside of it can be reached. Default `/`. */
  readonly root?: string | undefined;
  /** Tools that write are not part of this build: `true` is refused. */
  readonly allowWrite?: boolean | undefined;
  readonly version?: string | undefined;
  readonly budget?: Partial<Budget> | undefined;
  /** Faults outside of any call: a malformed message, a broken pipe. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export interface McpService {
  /** Resolves when the connection ended, from either side. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

/** Answers that were not given so long after the end of the input are given up. */
const LAST_ANSWERS_MS = 30_000;

export async function serveMcp(options: ServeMcpOptions): Promise<McpService> {
  const { plane, clock, budget } = options;
  if (options.allowWrite === true) {
    throw new NokvError(
      'unsupported',
      'expected a read-only MCP server, found --allow-write; this build has no write tools: leave the flag out',
    );
  }
  const root = formatName(parsePath(options.root ?? '/'));
  const start = await plane.stat(root);
  if (start.card.type !== 'directory') throw new NokvError('not-directory', `the root ${root} is a ${start.card.type}; name a directory`);

  const input = new PassThrough();
  const transport = new StdioServerTransport(input, options.output);
  const scope = { plane, root, clock, budget };
  const handle = serveStdio(() => makeMcpServer(scope, options.version ?? '0.1.0'), {
    transport,
    onerror: (error) => options.onError?.(error),
  });
  const pending = watchRequests(transport);
  const closed = new Promise<void>((resolve) => {
    const onclose = transport.onclose?.bind(transport);
    transport.onclose = () => {
      onclose?.();
      resolve();
    };
  });
  options.input.on('error', (error) => input.destroy(error));
  options.input.once('end', () => void endAfterAnswers());
  options.input.pipe(input, { end: false });
  return {
    closed,
    async close() {
      await handle.close();
      options.input.unpipe(input);
    },
  };

  async function endAfterAnswers(): Promise<void> {
    const abort = new AbortController();
    await Promise.race([pending.settled(), clock.sleep(LAST_ANSWERS_MS, abort.signal).catch(() => undefined)]);
    abort.abort();
    input.end();
  }
}

/** Counts requests that came in and were not answered yet. */
function watchRequests(transport: StdioServerTransport): { settled(): Promise<void> } {
  const open = new Set<string | number>();
  const waiters: (() => void)[] = [];
  const settle = (id: string | number): void => {
    open.delete(id);
    if (open.size === 0) for (const resolve of waiters.splice(0)) resolve();
  };
  const onmessage = transport.onmessage?.bind(transport);
  transport.onmessage = (message) => {
    if ('method' in message && 'id' in message) open.add(message.id);
    else if ('method' in message && message.method === 'notifications/cancelled') {
      const id = message.params?.requestId;
      if (typeof id === 'string' || typeof id === 'number') settle(id);
    }
    onmessage?.(message);
  };
  const send = transport.send.bind(transport);
  transport.send = async (message) => {
    try {
      await send(message);
    } finally {
      if (!('method' in message) && message.id !== undefined && message.id !== null) settle(message.id);
    }
  };
  return {
    // The last bytes of the input may still be on their way through the pipe: one turn lets them arrive.
    async settled() {
      await new Promise((resolve) => setImmediate(resolve));
      if (open.size > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
  };
}
