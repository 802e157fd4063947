export { AdaptivePoller, type AdaptivePollerStats } from './adaptive-poller.js';
export { formatAddress, parseAddress, type Address } from './address.js';
export { Deadlines } from './deadlines.js';
export { protocolDigest, protocolShape } from './digest.js';
export {
  FRAME_BYTES_MAX_DEFAULT,
  FRAME_BYTES_MAX_LEAST,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  FrameDecoder,
  HELLO_BYTES_MAX,
  type Frame,
  type FrameType,
} from './frame.js';
export {
  PROTOCOL_VERSIONS,
  clientHello,
  readClientHello,
  readServerHello,
  writeClientHello,
  writeServerHello,
  type ClientHello,
  type Incarnation,
  type ServerHello,
  type VersionRange,
} from './hello.js';
export { MessageReader } from './message-reader.js';
export { MessageWriter } from './message-writer.js';
export {
  CREDIT_MAX,
  DEADLINE_MS_MAX,
  readAnswer,
  readCredit,
  readError,
  readPong,
  readRequest,
  writeAnswer,
  writeControl,
  writeCredit,
  writeError,
  writePing,
  writePong,
  writeRequest,
  type Request,
} from './messages.js';
export type { Schema, Shape } from './schema.js';
export type { OperationDefinition, OperationKind } from './schemas/definition.js';
export { DIFF_ROWS_MAX } from './schemas/history-values.js';
export { DEFINITIONS, definitionOf } from './schemas/operations.js';
export { memoryTransportPair, type MemoryTransportOptions } from './transport/memory-transport.js';
export { SocketTransport, connectTransport } from './transport/socket-transport.js';
export type { Transport, TransportHandlers } from './transport/transport.js';
export {
  WATCH_CHANGES_MAX,
  WATCH_EVENTS_MAX,
  type AnswerOf,
  type ArgsOf,
  type BatchArgs,
  type BatchOperation,
  type BatchResult,
  type Envelope,
  type EnvelopeOf,
  type ItemOf,
  type MutationEnvelope,
  type NoArgs,
  type Operation,
  type ReadEnvelope,
  type ServerInfo,
  type ServerStatus,
  type StoreStatus,
  type ServiceOperation,
  type ServiceOperations,
  type ShardInfo,
  type StreamEnvelope,
  type StreamOperation,
  type StreamOperations,
  type TicketedUpload,
  type UnaryOperation,
  type WatchArgs,
  type WatchItem,
  type WatchPathArgs,
  type LockWaitArgs,
  type LockWaitItem,
  type WatchPathItem,
  type WireCommitted,
  type WireMutationResult,
} from './wire-operations.js';
export { shareEncoding } from './schemas/path-changes.js';
