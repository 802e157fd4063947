/**
 * Names and paths. Names are bytes: 1 to 255 of them, any but `/` and NUL, not `.` or `..`.
 * In JSON, on terminals and in arguments they are text: valid UTF-8 as it is, every other byte as `\xHH`,
 * a backslash as `\\`. The mapping is reversible.
 */
import { NokvError } from './errors.js';

export const NAME_BYTES_MAX = 255;
export const PATH_BYTES_MAX = 4096;

const SLASH = 0x2f;
const DOT = 0x2e;
const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8 = new TextEncoder();

/** Refuses what is not a legal name of an entry. */
export function checkName(name: Uint8Array): void {
  if (name.length === 0) throw new NokvError('invalid-name', 'a name needs at least 1 byte, found none');
  if (name.length > NAME_BYTES_MAX) {
    throw new NokvError('name-too-long', `a name has at most ${NAME_BYTES_MAX} bytes, found ${name.length}`);
  }
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    throw new NokvError('invalid-name', `"${formatName(name)}" is not the name of an entry`);
  }
  if (name.includes(SLASH) || name.includes(0)) {
    throw new NokvError('invalid-name', `a name holds neither "/" nor NUL, found ${formatName(name)}`);
  }
}

/**
 * Splits an absolute path into names; `.`, `..` and repeated slashes are resolved lexically.
 * A `..` beyond the root, an illegal name or more than 4,096 bytes is refused.
 */
export function splitPath(path: Uint8Array): Uint8Array[] {
  if (path.length > PATH_BYTES_MAX) {
    throw new NokvError('path-too-long', `a path has at most ${PATH_BYTES_MAX} bytes, found ${path.length}`);
  }
  if (path[0] !== SLASH) {
    throw new NokvError('invalid-path', `expected an absolute path, found "${formatName(path)}"; begin it with "/"`);
  }
  const names: Uint8Array[] = [];
  let start = 1;
  for (let end = 1; end <= path.length; end++) {
    if (end < path.length && path[end] !== SLASH) continue;
    const name = path.subarray(start, end);
    start = end + 1;
    if (name.length === 0 || (name.length === 1 && name[0] === DOT)) continue;
    if (name.length === 2 && name[0] === DOT && name[1] === DOT) {
      if (names.pop() === undefined) {
        throw new NokvError('invalid-path', `"${formatName(path)}" leads beyond the root; remove a ".."`);
      }
      continue;
    }
    checkName(name);
    names.push(name);
  }
  return names;
}

/** The inverse of {@link splitPath} for resolved names: `/` for none. */
export function joinPath(names: readonly Uint8Array[]): Uint8Array {
  if (names.length === 0) return Uint8Array.of(SLASH);
  const path = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, 0));
  let at = 0;
  for (const name of names) {
    path[at] = SLASH;
    path.set(name, at + 1);
    at += name.length + 1;
  }
  return path;
}

/** Bytes of a name or path as text: UTF-8, with `\xHH` for what is not and `\\` for a backslash. */
export function formatName(bytes: Uint8Array): string {
  let text: string;
  try {
    text = utf8Strict.decode(bytes);
  } catch {
    return formatBroken(bytes);
  }
  return text.includes('\\') ? text.replaceAll('\\', '\\\\') : text;
}

/** The inverse of {@link formatName}; a backslash that begins no escape is refused. */
export function parseName(text: string): Uint8Array {
  if (!text.includes('\\')) return utf8.encode(text);
  const parts: number[] = [];
  for (let i = 0; i < text.length;) {
    if (text[i] !== '\\') {
      const next = text.indexOf('\\', i);
      const plain = text.slice(i, next < 0 ? text.length : next);
      for (const byte of utf8.encode(plain)) parts.push(byte);
      i += plain.length;
    } else if (text[i + 1] === '\\') {
      parts.push(0x5c);
      i += 2;
    } else if (/^x[0-9a-fA-F]{2}$/.test(text.slice(i + 1, i + 4))) {
      parts.push(Number.parseInt(text.slice(i + 2, i + 4), 16));
      i += 4;
    } else {
      throw new NokvError('invalid-name', `"${text}": a backslash is written \\\\ and a byte \\xHH`);
    }
  }
  return Uint8Array.from(parts);
}

/** Parses a path as people write it (escapes as in {@link parseName}) into normal form. */
export function parsePath(text: string): Uint8Array {
  return joinPath(splitPath(parseName(text)));
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Keeps the longest valid UTF-8 runs as text and escapes every other byte. */
function formatBroken(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length;) {
    const length = sequenceLength(bytes, i);
    if (length === 0) {
      text += `\\x${(bytes[i] as number).toString(16).padStart(2, '0')}`;
      i += 1;
    } else {
      const part = utf8Strict.decode(bytes.subarray(i, i + length));
      text += part === '\\' ? '\\\\' : part;
      i += length;
    }
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  const length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    utf8Strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
