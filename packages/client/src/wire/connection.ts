/** One connection to one server: calls and streams in any number, answered in any order. It never retries. */
import type { Acknowledgement, Caller, MutationOperation, NokvError, ReadOperation, RequestId } from '@nokv/types';
import type {
  AnswerOf,
  ArgsOf,
  BatchOperation,
  ItemOf,
  ServerHello,
  ServiceOperation,
  StreamOperation,
  UnaryOperation,
} from '@nokv/protocol';

export interface WireCallOptions {
  /** Cancels the call; of a mutation that was sent the outcome is `unknown`. */
  readonly signal?: AbortSignal | undefined;
  /** Default: the connection's `timeoutMs`. More than seven days (Infinity): no deadline. */
  readonly timeoutMs?: number | undefined;
  readonly traceId?: string | undefined;
}

export interface WireReadOptions extends WireCallOptions {
  /** See what is not durable yet. */
  readonly visible?: boolean | undefined;
  /** Whom the call acts for; absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface WireMutationOptions extends WireCallOptions {
  readonly requestId: RequestId;
  /** Default: the connection's `actor`. */
  readonly actor?: string | undefined;
  /** Default `durable`. */
  readonly acknowledgement?: Acknowledgement | undefined;
  /** Wall clock of the first attempt under this request id; default now. */
  readonly firstAttemptMs?: number | undefined;
  /** Whom the call acts for; absent: it is trusted. */
  readonly caller?: Caller | undefined;
}

export interface WireStreamOptions {
  readonly signal?: AbortSignal | undefined;
  readonly traceId?: string | undefined;
  /** Items that may be on their way or waiting here; default 32. */
  readonly window?: number | undefined;
}

export type OptionsOf<Op extends UnaryOperation> = Op extends MutationOperation | BatchOperation
  ? WireMutationOptions
  : Op extends ReadOperation
    ? WireReadOptions
    : WireCallOptions;

/** The last argument of `call`: needed for mutations (the request id), optional for the rest. */
export type CallRest<Op extends UnaryOperation> = Op extends MutationOperation | BatchOperation
  ? [options: WireMutationOptions]
  : Op extends ReadOperation | ServiceOperation
    ? [options?: OptionsOf<Op>]
    : never;

export interface Connection {
  /** What was agreed with the server. */
  readonly server: ServerHello;
  /** For people: where it leads. */
  readonly peer: string;
  /**
   * One request, one answer. Calls made in one tick leave in one write. Beyond the server's in-flight limit calls wait
   * here, up to a bound (`too-busy`). Rejects with `NokvError`; `connection-lost`, `cancelled` and `deadline-exceeded`
   * have outcome `unknown` for a mutation that was sent and `not-applied` otherwise.
   */
  call<Op extends UnaryOperation>(operation: Op, args: ArgsOf<Op>, ...rest: CallRest<Op>): Promise<AnswerOf<Op>>;
  /** Opens when iterated; `return` (leaving the loop) and the signal cancel it on the server. */
  stream<Op extends StreamOperation>(operation: Op, args: ArgsOf<Op>, options?: WireStreamOptions): AsyncIterable<ItemOf<Op>>;
  /** Round trip in milliseconds. */
  ping(timeoutMs?: number): Promise<number>;
  /** True once the server said goaway or the connection ended: make no new calls here (they fail with `draining`). */
  readonly isDraining: boolean;
  /** Resolves when the server said goaway (or the connection ended). */
  readonly draining: Promise<void>;
  /** Calls and streams without an answer. */
  readonly inFlight: number;
  /** Resolves with the reason once the connection has ended; never rejects. */
  readonly closed: Promise<NokvError>;
  /** Lets calls in flight finish up to `graceMs` (default 0), then closes. */
  close(graceMs?: number): Promise<void>;
}
