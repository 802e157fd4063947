/** What `listenRpc` (listen-rpc.ts) is told and what it returns. */
import type { Clock, NokvError } from '@nokv/types';
import type { AdaptivePoller, AdaptivePollerStats, ClientHello, Incarnation, Transport } from '@nokv/protocol';
import type { ClientInfo, RpcHandlers } from './handlers.js';

export interface RpcLimits {
  /** Connections beyond it get `too-busy` and are closed. */
  readonly connectionsMax: number;
  /** Unanswered requests of one connection; what goes beyond is answered `too-busy` (not applied). */
  readonly inFlightMax: number;
  /** Bytes of unanswered requests of one connection; beyond: `too-busy`. */
  readonly inFlightBytesMax: number;
  /** Open streams of one connection; beyond: `too-busy`. */
  readonly streamsMax: number;
  /** Unsent reply bytes at which the connection is no longer read until the client has taken them. */
  readonly unsentBytesMax: number;
  /** A client that leaves so much untaken for so long is disconnected. */
  readonly untakenMsMax: number;
  readonly frameBytesMax: number;
  /** Time for a client to say hello. */
  readonly helloTimeoutMs: number;
}

export interface RpcOptions {
  readonly handlers: RpcHandlers;
  readonly clock: Clock;
  /** Named in the hello answer: `nokv/0.1.0`. */
  readonly software: string;
  /** Told in the hello answer. */
  readonly incarnation: Incarnation;
  readonly limits?: Partial<RpcLimits> | undefined;
  readonly features?: readonly string[] | undefined;
  /** Rises when the shard map changes; told to clients in the hello answer. */
  readonly shardMapRevision?: (() => number) | undefined;
  /** Throws `NokvError` to refuse a client (for instance `bad-token`). */
  readonly admit?: ((hello: ClientHello, client: ClientInfo) => void | Promise<void>) | undefined;
  /** Shared poller; `false`: sleep between messages. Default: one of its own. */
  readonly poller?: AdaptivePoller | false | undefined;
  /** After each answer, for histograms. `error` is absent for success. */
  readonly onAnswer?: ((operation: string, elapsedMs: number, error: NokvError | undefined) => void) | undefined;
  /** Connections that went wrong (malformed input, refusals), for logs. */
  readonly onProblem?: ((error: NokvError, client: ClientInfo | undefined) => void) | undefined;
}

export interface RpcStats {
  readonly connections: number;
  readonly connectionsRefused: number;
  readonly inFlight: number;
  readonly streams: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Undefined when the listener sleeps between messages. */
  readonly polling: AdaptivePollerStats | undefined;
  /** Per operation (`unreadable` for what named none): requests and errors by code, since the start. */
  readonly operations: ReadonlyMap<string, { readonly requests: number; readonly errors: ReadonlyMap<string, number> }>;
}

export interface RpcListener {
  /** Bound address as clients write it: `host:port` or `unix:/path`. */
  readonly address: string;
  readonly stats: RpcStats;
  /** Serves one more connection that came another way (tests, in-process clients). */
  attach(transport: Transport): void;
  /** Ends every connection at once. */
  cut(): void;
  /** Says goaway, finishes what is in flight within `graceMs`, closes. New requests get `draining`. */
  drain(graceMs: number): Promise<void>;
}
