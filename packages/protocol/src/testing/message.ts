/** Whole messages as plain values, for vectors and round trips: every frame that may travel. */
import { NokvError } from '@nokv/types';
import type { Frame } from '../frame.js';
import { FRAME_TYPES, FrameDecoder } from '../frame.js';
import type { ClientHello, ServerHello } from '../hello.js';
import { readClientHello, readServerHello, writeClientHello, writeServerHello } from '../hello.js';
import { MessageReader } from '../message-reader.js';
import { MessageWriter } from '../message-writer.js';
import {
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
} from '../messages.js';
import { definitionOf } from '../schemas/operations.js';
import type { EnvelopeOf, Operation } from '../wire-operations.js';

type ErrorValue = ReturnType<NokvError['toRecord']>;

export type Message =
  | { readonly frame: 'hello'; readonly hello: ClientHello }
  | { readonly frame: 'helloAck'; readonly hello: ServerHello }
  | {
      readonly frame: 'request';
      readonly stream: number;
      readonly operation: Operation;
      readonly envelope: EnvelopeOf<Operation>;
      readonly args: unknown;
    }
  | { readonly frame: 'response' | 'item'; readonly stream: number; readonly operation: Operation; readonly answer: unknown }
  | { readonly frame: 'error' | 'goaway'; readonly stream: number; readonly error: ErrorValue }
  | { readonly frame: 'end' | 'cancel'; readonly stream: number }
  | { readonly frame: 'credit'; readonly stream: number; readonly items: number }
  | { readonly frame: 'ping' | 'pong'; readonly mark: number };

const LIMIT = 4 * 1024 * 1024;

export function encodeMessage(message: Message): Uint8Array {
  const to = new MessageWriter();
  switch (message.frame) {
    case 'hello':
      writeClientHello(to, message.hello);
      break;
    case 'helloAck':
      writeServerHello(to, message.hello);
      break;
    case 'request':
      writeRequest(to, message.stream, message.operation, message.args, message.envelope, LIMIT);
      break;
    case 'response':
    case 'item':
      writeAnswer(to, FRAME_TYPES[message.frame], message.stream, definitionOf<Operation>(message.operation), message.answer, LIMIT);
      break;
    case 'error':
    case 'goaway':
      writeError(to, FRAME_TYPES[message.frame], message.stream, NokvError.fromRecord(message.error));
      break;
    case 'end':
    case 'cancel':
      writeControl(to, FRAME_TYPES[message.frame], message.stream);
      break;
    case 'credit':
      writeCredit(to, message.stream, message.items);
      break;
    case 'ping':
      writePing(to, message.mark);
      break;
    case 'pong': {
      writePing(to, message.mark);
      const ping = Uint8Array.from(to.take().subarray(9));
      writePong(to, ping);
    }
  }
  return Uint8Array.from(to.take());
}

/** @param operation what an answer answers: an answer does not say it itself */
export function decodeMessage(frame: Frame, operation?: Operation): Message {
  const from = new MessageReader(frame.payload);
  const { stream } = frame;
  switch (frame.type) {
    case FRAME_TYPES.hello:
      return { frame: 'hello', hello: readClientHello(frame.payload).hello };
    case FRAME_TYPES.helloAck:
      return { frame: 'helloAck', hello: readServerHello(frame.payload) };
    case FRAME_TYPES.request:
      return decodeRequest(from, stream);
    case FRAME_TYPES.response:
    case FRAME_TYPES.item: {
      if (operation === undefined) throw new Error('which operation does it answer?');
      const answer = readAnswer(from, definitionOf<Operation>(operation));
      return { frame: frame.type === FRAME_TYPES.item ? 'item' : 'response', stream, operation, answer };
    }
    case FRAME_TYPES.error:
    case FRAME_TYPES.goaway:
      return { frame: frame.type === FRAME_TYPES.error ? 'error' : 'goaway', stream, error: readError(from).toRecord() };
    case FRAME_TYPES.end:
    case FRAME_TYPES.cancel:
      from.finish();
      return { frame: frame.type === FRAME_TYPES.end ? 'end' : 'cancel', stream };
    case FRAME_TYPES.credit:
      return { frame: 'credit', stream, items: readCredit(from) };
    case FRAME_TYPES.ping:
    case FRAME_TYPES.pong:
      return { frame: frame.type === FRAME_TYPES.ping ? 'ping' : 'pong', mark: readPong(from) };
  }
}

/** Decodes bytes that hold exactly one frame. */
export function decodeBytes(bytes: Uint8Array, operation?: Operation): Message {
  const decoder = new FrameDecoder(LIMIT);
  decoder.push(bytes);
  const frame = decoder.next();
  if (frame === undefined) throw new Error('the bytes hold no whole frame');
  const message = decodeMessage(frame, operation);
  if (!decoder.isDrained) throw new Error('bytes are left over');
  return message;
}

function decodeRequest(from: MessageReader, stream: number): Message {
  const { definition, args, deadlineMs, traceId, visible, requestId, actor, acknowledgement, attemptAgeMs, caller, credit } =
    readRequest(from);
  const common = { deadlineMs, traceId, ...(caller === undefined ? {} : { caller }) };
  const own = {
    read: { visible },
    mutation: { requestId, actor, acknowledgement, attemptAgeMs },
    service: {},
    stream: { credit },
  }[definition.kind];
  return { frame: 'request', stream, operation: definition.operation, envelope: { ...common, ...own } as EnvelopeOf<Operation>, args };
}
