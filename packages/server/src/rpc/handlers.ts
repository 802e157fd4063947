/** What the process answers over RPC: one handler for each operation. */
import type { MutationOperation, ReadOperation } from '@nokv/types';
import type {
  AnswerOf,
  ArgsOf,
  BatchOperation,
  Envelope,
  ItemOf,
  MutationEnvelope,
  ReadEnvelope,
  ServiceOperation,
  StreamOperation,
} from '@nokv/protocol';

/** Who is at the other end of a connection, as its hello said. */
export interface ClientInfo {
  /** Unique in this process. */
  readonly id: number;
  /** The name that the client gave, for logs. */
  readonly name: string;
  readonly peer: string;
  /** On this machine: it may be able to open our directories. */
  readonly isLocal: boolean;
  readonly features: readonly string[];
}

interface Call {
  readonly client: ClientInfo;
  /** By the listener's monotonic clock; Infinity: none. */
  readonly deadlineAt: number;
  /** Fires when the client cancelled, the deadline passed or the connection ended: nobody waits for the answer. */
  readonly signal: AbortSignal;
}

export type ReadCall = Call & ReadEnvelope;
export type MutationCall = Call & MutationEnvelope;
export type ServiceCall = Call & Envelope;
export type StreamCall = Call & Envelope;

/**
 * Synchronous answers are encoded at once and leave in one write with the others of the tick. A handler throws or
 * rejects with `NokvError`; anything else is answered as `internal`. A stream handler is pulled as the client grants
 * credit; its `return` runs when the client cancels or goes.
 */
export type RpcHandlers = {
  readonly [Op in ReadOperation]: (args: ArgsOf<Op>, call: ReadCall) => AnswerOf<Op> | Promise<AnswerOf<Op>>;
} & {
  readonly [Op in MutationOperation]: (args: ArgsOf<Op>, call: MutationCall) => AnswerOf<Op> | Promise<AnswerOf<Op>>;
} & {
  readonly [Op in BatchOperation]: (args: ArgsOf<Op>, call: MutationCall) => AnswerOf<Op> | Promise<AnswerOf<Op>>;
} & {
  readonly [Op in ServiceOperation]: (args: ArgsOf<Op>, call: ServiceCall) => AnswerOf<Op> | Promise<AnswerOf<Op>>;
} & {
  readonly [Op in StreamOperation]: (args: ArgsOf<Op>, call: StreamCall) => AsyncIterable<ItemOf<Op>>;
};
