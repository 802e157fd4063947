/** A digest of everything that both sides must agree on; a test ties it to the protocol's version. */
import { createHash } from 'node:crypto';
import { FRAME_HEADER_BYTES, FRAME_TYPES } from './frame.js';
import { HELLO_SHAPES } from './hello.js';
import { ENVELOPE_SHAPES } from './messages.js';
import type { Shape } from './schema.js';
import { wireError } from './schemas/error.js';
import { DEFINITIONS } from './schemas/operations.js';

/** The description that is hashed: readable, so that a change can be seen in a diff. */
export function protocolShape(): Shape {
  return {
    header: FRAME_HEADER_BYTES,
    frames: FRAME_TYPES,
    hello: HELLO_SHAPES,
    envelopes: ENVELOPE_SHAPES,
    error: wireError.shape,
    operations: Object.values(DEFINITIONS).map((definition): Shape => ({
      operation: definition.operation,
      code: definition.code,
      kind: definition.kind,
      args: definition.args.shape,
      answer: definition.answer.shape,
    })),
  };
}

/** 16 hex digits of sha256 over {@link protocolShape}. */
export function protocolDigest(): string {
  return createHash('sha256').update(JSON.stringify(protocolShape())).digest('hex').slice(0, 16);
}
