/** How errors travel: in frames of their own, and as answers of single items in lists. */
import type { ErrorDetails, ErrorOutcome, Settled } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { MessageReader } from '../message-reader.js';
import type { Schema } from '../schema.js';
import { choice, object, optional, text } from '../schema.js';

const MESSAGE_BYTES_MAX = 16 * 1024;
const DETAILS_MAX = 64;

const errorDetails: Schema<ErrorDetails> = {
  shape: { mapOf: ['string', 'integer', 'float', 'boolean', 'nil'] },
  write: (to, value) => {
    const entries = Object.entries(value).slice(0, DETAILS_MAX);
    to.mapHeader(entries.length);
    for (const [key, detail] of entries) {
      to.string(cutText(key, 256));
      if (detail === null) to.nil();
      else if (typeof detail === 'boolean') to.boolean(detail);
      else if (typeof detail === 'string') to.string(cutText(detail, MESSAGE_BYTES_MAX));
      else if (Number.isSafeInteger(detail) && !Object.is(detail, -0)) to.int(detail);
      else to.float(detail);
    }
  },
  read: (from) => {
    const details: Record<string, string | number | boolean | null> = {};
    const length = from.mapHeader();
    if (length > DETAILS_MAX) throw from.invalid(`expected at most ${DETAILS_MAX} details, found ${length}`);
    for (let i = 0; i < length; i++) {
      const key = from.string(256);
      Object.defineProperty(details, key, { value: readDetail(from), enumerable: true, writable: true, configurable: true });
    }
    return details;
  },
};

function readDetail(from: MessageReader): string | number | boolean | null {
  if (from.isString()) return from.string(MESSAGE_BYTES_MAX);
  if (from.isBoolean()) return from.boolean();
  if (from.isFloat()) return from.float();
  if (from.isInt()) return from.int();
  from.nil();
  return null;
}

interface WireError {
  readonly code: string;
  readonly outcome: ErrorOutcome;
  readonly message: string;
  readonly details?: ErrorDetails;
}

/** Part of what never changes: a refusal must be readable by every version. */
const record: Schema<WireError> = object<WireError>(
  { code: text(64), outcome: choice(['not-applied', 'unknown']), message: text(MESSAGE_BYTES_MAX), details: optional(errorDetails) },
  { lenient: true },
);

/** An error, cut to what always fits. */
export const wireError: Schema<NokvError> = {
  shape: record.shape,
  write: (to, { code, outcome, message, details }) => {
    const lean = { code, outcome, message: cutText(message, MESSAGE_BYTES_MAX) };
    record.write(to, Object.keys(details).length === 0 ? lean : { ...lean, details: fitting(details) });
  },
  read: (from) => NokvError.fromRecord(record.read(from)),
};

/** What became of one item of a list: `[value]`, or the error, which is a map. */
export function settled<Value>(value: Schema<Value>): Schema<Settled<Value>> {
  return {
    shape: { settled: value.shape },
    write: (to, item) => {
      if (!item.ok) return wireError.write(to, item.error);
      to.arrayHeader(1);
      value.write(to, item.value);
    },
    read: (from) => {
      if (!from.isArray()) return { ok: false, error: wireError.read(from) };
      if (from.arrayHeader() !== 1) throw from.invalid('expected [value] or an error');
      return { ok: true, value: value.read(from) };
    },
  };
}

/** Details are facts, not documents: those beyond 16 KiB in all are left out. */
function fitting(details: ErrorDetails): ErrorDetails {
  return JSON.stringify(details).length <= MESSAGE_BYTES_MAX ? details : { detailsLeftOut: true };
}

function cutText(value: string, bytesMax: number): string {
  if (Buffer.byteLength(value) <= bytesMax) return value;
  const cut = Buffer.from(value)
    .subarray(0, bytesMax - 4)
    .toString();
  return `${cut.replace(/\uFFFD+$/, '')}…`;
}
