/** Opens connections: socket, hello, answer, all within one deadline. */
import type { Clock } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { Transport } from '@nokv/protocol';
import { AdaptivePoller, clientHello, connectTransport, parseAddress } from '@nokv/protocol';
import type { Connection } from './connection.js';
import { WireConnection } from './wire-connection.js';

export interface OpenConnectionOptions {
  readonly clock: Clock;
  /** Program and version, for the server's logs. */
  readonly client: string;
  readonly token?: string | undefined;
  /** Who mutates, unless a call says otherwise. Default: `client`. */
  readonly actor?: string | undefined;
  /** Default for calls; 30,000. */
  readonly timeoutMs?: number | undefined;
  /** For socket and hello together; 10,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Shared poller; `false`: sleep between messages. Default: one of its own. */
  readonly poller?: AdaptivePoller | false | undefined;
  readonly frameBytesMax?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects to `host:port` or `unix:/path`. Rejects with `unavailable` (nobody listens), `unsupported-version`,
 * `bad-token`, `too-busy`, `draining` (the server's refusal as it said it) or `deadline-exceeded`.
 */
export async function openConnection(address: string, options: OpenConnectionOptions): Promise<Connection> {
  const parsed = parseAddress(address);
  return withinTimeout(address, options, async (signal) => openOver(await connectTransport(parsed, signal), options, signal));
}

/** The same over bytes that are connected already. */
export function openConnectionOver(transport: Transport, options: OpenConnectionOptions): Promise<Connection> {
  return withinTimeout(transport.peer, options, (signal) => openOver(transport, options, signal));
}

async function openOver(transport: Transport, options: OpenConnectionOptions, signal: AbortSignal): Promise<Connection> {
  const { clock, client, token, frameBytesMax } = options;
  const connection = new WireConnection(transport, {
    clock,
    actor: options.actor ?? client,
    timeoutMs: options.timeoutMs ?? 30_000,
    poller: options.poller === false ? undefined : (options.poller ?? new AdaptivePoller(clock)),
  });
  const onAbort = (): void => transport.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) transport.destroy();
  try {
    await connection.open(clientHello(client, token, frameBytesMax));
    signal.throwIfAborted();
    return connection;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function withinTimeout(
  peer: string,
  options: OpenConnectionOptions,
  open: (signal: AbortSignal) => Promise<Connection>,
): Promise<Connection> {
  const timeoutMs = options.connectTimeoutMs ?? 10_000;
  const giveUp = new AbortController();
  const timer = new AbortController();
  const onAbort = (): void => giveUp.abort(new NokvError('cancelled', `connecting to ${peer} was cancelled`));
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) onAbort();
  options.clock.sleep(timeoutMs, timer.signal).then(
    () =>
      giveUp.abort(
        new NokvError('deadline-exceeded', `${peer} did not answer within ${timeoutMs} ms; is it a nokv server, and does it run?`),
      ),
    () => undefined,
  );
  try {
    return await open(giveUp.signal);
  } catch (error) {
    throw giveUp.signal.aborted ? giveUp.signal.reason : error;
  } finally {
    timer.abort();
    options.signal?.removeEventListener('abort', onAbort);
  }
}
