/**
 * Requests, answers and control frames as whole frames.
 *
 * Request: `[operation code, ms left, trace id, …, arguments]` where … is `visible` for a read, `request id, actor,
 * acknowledgement, milliseconds since the first attempt` for a mutation, `credit` for a stream and nothing for a service. A read or mutation
 * that acts for somebody has one part more before its arguments: the caller.
 * Response and item: the answer alone. Error: an error record. Credit: a u32. Cancel, end, ping, pong: empty or 8 bytes
 * that pong gives back. Goaway: an error record that says why.
 */
import type { Acknowledgement, Caller, RequestId } from '@nokv/types';
import { NokvError, requestId } from '@nokv/types';
import type { FrameType } from './frame.js';
import { FRAME_TYPES } from './frame.js';
import { MessageReader } from './message-reader.js';
import type { MessageWriter } from './message-writer.js';
import type { Schema, Shape } from './schema.js';
import type { OperationDefinition } from './schemas/definition.js';
import { coded, int, parsedText, text } from './schema.js';
import { wireError } from './schemas/error.js';
import { LABEL_BYTES_MAX, REQUEST_ID_BYTES_MAX, callerIds } from './schemas/values.js';
import { definitionOf, definitionOfCode } from './schemas/operations.js';
import type { Envelope, EnvelopeOf, Operation } from './wire-operations.js';

/** A request as the server reads it; fields that its kind lacks have their neutral value. */
export interface Request extends Envelope {
  readonly definition: OperationDefinition;
  readonly args: unknown;
  readonly visible: boolean;
  readonly requestId: RequestId | undefined;
  readonly actor: string;
  readonly acknowledgement: Acknowledgement;
  readonly attemptAgeMs: number;
  readonly caller: Caller | undefined;
  readonly credit: number;
}

/** Credit that one request or credit frame may grant. */
export const CREDIT_MAX = 65536;

/** Longer is as good as no deadline at all. */
export const DEADLINE_MS_MAX = 7 * 24 * 60 * 60 * 1000;

const deadline: Schema<number> = int(0, DEADLINE_MS_MAX);
const traceId: Schema<string> = text(128);
const request: Schema<RequestId> = parsedText('request', REQUEST_ID_BYTES_MAX, requestId);
const actor: Schema<string> = text(LABEL_BYTES_MAX);
const acknowledgement: Schema<Acknowledgement> = coded(['durable', 'visible']);
const attemptAge: Schema<number> = int(0);
const credit: Schema<number> = int(1, CREDIT_MAX);

const ENVELOPE_LENGTHS = { read: 5, mutation: 8, service: 4, stream: 5 } as const;

export const ENVELOPE_SHAPES: Shape = {
  common: ['code', deadline.shape, traceId.shape],
  read: ['visible'],
  mutation: [request.shape, actor.shape, acknowledgement.shape, attemptAge.shape],
  stream: [credit.shape],
  caller: callerIds.shape,
};

/** Writes a whole request frame, or throws and leaves nothing behind. */
export function writeRequest<Op extends Operation>(
  to: MessageWriter,
  stream: number,
  operation: Op,
  args: unknown,
  envelope: EnvelopeOf<Op>,
  payloadBytesMax: number,
): void {
  const definition = definitionOf<Operation>(operation);
  to.beginFrame(FRAME_TYPES.request, stream);
  try {
    const { caller } = envelope as EnvelopeOf<'stat'>;
    to.arrayHeader(ENVELOPE_LENGTHS[definition.kind] + (caller === undefined ? 0 : 1));
    to.int(definition.code);
    deadline.write(to, envelope.deadlineMs);
    traceId.write(to, envelope.traceId);
    if (definition.kind === 'read') {
      to.boolean((envelope as EnvelopeOf<'stat'>).visible);
    } else if (definition.kind === 'mutation') {
      const mutation = envelope as EnvelopeOf<'mkdir'>;
      request.write(to, mutation.requestId);
      actor.write(to, mutation.actor);
      acknowledgement.write(to, mutation.acknowledgement);
      attemptAge.write(to, mutation.attemptAgeMs);
    } else if (definition.kind === 'stream') {
      credit.write(to, (envelope as EnvelopeOf<'watch'>).credit);
    }
    if (caller !== undefined) callerIds.write(to, caller);
    (definition.args as Schema<unknown>).write(to, args);
    to.endFrame(payloadBytesMax);
  } catch (error) {
    to.abandonFrame();
    throw error;
  }
}

/** Reads and checks a whole request. */
export function readRequest(from: MessageReader): Request {
  const length = from.arrayHeader();
  from.field = 'operation';
  const definition = definitionOfCode(from.int());
  const { kind } = definition;
  const hasCaller = length === ENVELOPE_LENGTHS[kind] + 1 && (kind === 'read' || kind === 'mutation');
  if (length !== ENVELOPE_LENGTHS[kind] && !hasCaller)
    throw from.invalid(`expected ${ENVELOPE_LENGTHS[kind]} parts of a request, found ${length}`);
  from.field = 'deadline';
  const deadlineMs = deadline.read(from);
  from.field = 'trace id';
  const trace = traceId.read(from);
  const value = {
    definition,
    deadlineMs,
    traceId: trace,
    visible: false,
    requestId: undefined as RequestId | undefined,
    actor: '',
    acknowledgement: 'durable' as Acknowledgement,
    attemptAgeMs: 0,
    caller: undefined as Caller | undefined,
    credit: 0,
    args: undefined as unknown,
  };
  if (definition.kind === 'read') {
    from.field = 'visible';
    value.visible = from.boolean();
  } else if (definition.kind === 'mutation') {
    from.field = 'request id';
    value.requestId = request.read(from);
    from.field = 'actor';
    value.actor = actor.read(from);
    from.field = 'acknowledgement';
    value.acknowledgement = acknowledgement.read(from);
    from.field = 'age of the first attempt';
    value.attemptAgeMs = attemptAge.read(from);
  } else if (definition.kind === 'stream') {
    from.field = 'credit';
    value.credit = credit.read(from);
  }
  if (hasCaller) {
    from.field = 'caller';
    value.caller = callerIds.read(from);
  }
  from.field = 'arguments';
  value.args = definition.args.read(from);
  from.finish();
  return value;
}

/** Writes a response or an item, or throws and leaves nothing behind. */
export function writeAnswer(
  to: MessageWriter,
  type: typeof FRAME_TYPES.response | typeof FRAME_TYPES.item,
  stream: number,
  definition: OperationDefinition,
  answer: unknown,
  payloadBytesMax: number,
): void {
  to.beginFrame(type, stream);
  try {
    (definition.answer as Schema<unknown>).write(to, answer);
    to.endFrame(payloadBytesMax);
  } catch (error) {
    to.abandonFrame();
    throw error;
  }
}

export function readAnswer(from: MessageReader, definition: OperationDefinition): unknown {
  const answer = (definition.answer as Schema<unknown>).read(from);
  from.finish();
  return answer;
}

/* ------------------------------------------------------------------ errors */

/** Writes an error or goaway frame; it always fits. */
export function writeError(
  to: MessageWriter,
  type: typeof FRAME_TYPES.error | typeof FRAME_TYPES.goaway,
  stream: number,
  error: NokvError,
): void {
  to.beginFrame(type, stream);
  wireError.write(to, error);
  to.endFrame(Number.MAX_SAFE_INTEGER);
}

export function readError(from: MessageReader): NokvError {
  const error = wireError.read(from);
  from.finish();
  return error;
}

/* ----------------------------------------------------------------- control */

export function writeControl(to: MessageWriter, type: FrameType, stream: number): void {
  to.beginFrame(type, stream);
  to.endFrame(0);
}

export function writeCredit(to: MessageWriter, stream: number, items: number): void {
  to.beginFrame(FRAME_TYPES.credit, stream);
  to.rawU32(items);
  to.endFrame(4);
}

export function readCredit(from: MessageReader): number {
  const items = from.rawU32();
  from.finish();
  if (items < 1 || items > CREDIT_MAX) throw new NokvError('malformed-frame', `expected a credit of 1 to ${CREDIT_MAX}, found ${items}`);
  return items;
}

const PING_BYTES = 8;

/** `mark` comes back in the pong. */
export function writePing(to: MessageWriter, mark: number): void {
  to.beginFrame(FRAME_TYPES.ping, 0);
  to.rawU32(0);
  to.rawU32(mark);
  to.endFrame(PING_BYTES);
}

export function writePong(to: MessageWriter, ping: Uint8Array): void {
  if (ping.length !== PING_BYTES) throw new NokvError('malformed-frame', `expected a ping of ${PING_BYTES} bytes, found ${ping.length}`);
  to.beginFrame(FRAME_TYPES.pong, 0);
  to.rawBytes(ping);
  to.endFrame(PING_BYTES);
}

export function readPong(from: MessageReader): number {
  from.rawU32();
  const mark = from.rawU32();
  from.finish();
  return mark;
}
