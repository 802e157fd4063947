import { NokvError, type ErrorRecord } from '@nokv/types';

/** Messages as JSON: bytes are `{"$hex": "…"}`, errors `{"$error": record}`, everything else is itself. */
export function toVectorJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $hex: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map(toVectorJson);
  if (value instanceof NokvError) return { $error: value.toRecord() };
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toVectorJson(field)]));
}

export function fromVectorJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromVectorJson);
  if (typeof value !== 'object' || value === null) return value;
  if ('$hex' in value && typeof value.$hex === 'string') return Uint8Array.from(Buffer.from(value.$hex, 'hex'));
  if ('$error' in value) return NokvError.fromRecord(value.$error as ErrorRecord);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, fromVectorJson(field)]));
}
