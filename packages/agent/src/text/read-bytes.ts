/** Byte ranges of a body as text or base64. */
import { NokvError } from '@nokv/types';
import { PLANE_READ_BYTES_MAX, type PlaneBody } from '../plane.js';

export interface ByteRange {
  readonly first: number;
  /** Included; below `first` for an empty range. */
  readonly last: number;
}

export interface BytePart {
  readonly firstByte: number;
  readonly lastByte: number;
  /** The last byte that was asked for and exists. */
  readonly lastAsked: number;
  readonly encoding: 'text' | 'base64';
  readonly content: string;
  readonly isLossy: boolean;
  readonly isPartial: boolean;
}

/** `0-99` (both included), `100-` (to the end), `-100` (the last 100). */
export function parseByteRange(text: string, size: number, argument: string): ByteRange {
  const match = /^(\d{0,15})-(\d{0,15})$/.exec(text.trim());
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) {
    throw new NokvError('invalid-argument', `${argument}: expected "0-99", "100-" or "-100", found ${JSON.stringify(text)}`, {
      details: { argument },
    });
  }
  if (from === '') return { first: Math.max(0, size - Number(to)), last: size - 1 };
  const first = Number(from);
  const last = to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== '' && Number(to) < first)
    throw new NokvError('invalid-argument', `${argument}: the range "${text}" is backwards`, { details: { argument } });
  if (first >= size && first > 0) {
    throw new NokvError('invalid-argument', `${argument}: the file has ${size} bytes, found a range from ${first}`, {
      details: { argument, size },
    });
  }
  return { first, last };
}

/** Without `encoding`: text where the bytes are UTF-8 (cut at whole characters), else base64. */
export async function readBytes(
  body: PlaneBody,
  { first, last }: ByteRange,
  encoding: 'text' | 'base64' | undefined,
  answerBytesMax: number,
  signal: AbortSignal | undefined,
): Promise<BytePart> {
  const wanted = last - first + 1;
  const bytes = await readRange(body, first, Math.min(wanted, answerBytesMax), signal);
  const text = encoding === 'base64' ? undefined : asText(bytes, answerBytesMax, encoding === 'text', first + bytes.length < body.size);
  const taken = text?.bytes ?? Math.min(bytes.length, Math.floor(answerBytesMax / 4) * 3);
  return {
    firstByte: first,
    lastByte: first + taken - 1,
    lastAsked: last,
    encoding: text === undefined ? 'base64' : 'text',
    content: text?.content ?? bytes.subarray(0, taken).toString('base64'),
    isLossy: text?.isLossy ?? false,
    isPartial: taken < wanted,
  };
}

async function readRange(body: PlaneBody, first: number, length: number, signal: AbortSignal | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < length;) {
    const part = await body.read(first + at, Math.min(length - at, PLANE_READ_BYTES_MAX), { signal });
    if (part.length === 0) break;
    parts.push(part);
    at += part.length;
  }
  return Buffer.concat(parts);
}

/** As much as fits the answer as JSON; undefined when it is no text and need not be. */
function asText(
  bytes: Buffer,
  answerBytesMax: number,
  isForced: boolean,
  hasMore: boolean,
): { readonly content: string; readonly bytes: number; readonly isLossy: boolean } | undefined {
  let part = hasMore ? wholeCharacters(bytes) : bytes;
  const isUtf8 = !part.includes(0) && decodes(part);
  if (!isUtf8 && !isForced) return undefined;
  if (!isUtf8) part = bytes;
  let content = part.toString('utf8');
  while (Buffer.byteLength(JSON.stringify(content)) > answerBytesMax) {
    const cut = part.subarray(0, Math.floor(part.length * 0.8));
    part = isUtf8 ? wholeCharacters(cut) : cut;
    content = part.toString('utf8');
  }
  return { content, bytes: part.length, isLossy: !isUtf8 && content.includes('\ufffd') };
}

/** Without a sequence that the end cuts. */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return back < length ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}

function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
