/** How people write remote paths: absolute, with escapes, and `PATH@G` where a command reads one generation. */
import { NokvError, formatName, generation, joinPath, parseName, parsePath, splitPath, type Generation } from '@nokv/types';

/** The path in normal form; `..` beyond the root, a relative path and over-long names are refused. */
export function remotePath(text: string): Uint8Array {
  return parsePath(text);
}

export interface VersionedPath {
  readonly path: Uint8Array;
  /** As it is shown. */
  readonly text: string;
  readonly generation: Generation | undefined;
}

/** A path that a command reads: `@42` behind it names a generation. A literal `@` before digits is written `\x40`. */
export function versionedPath(text: string): VersionedPath {
  const match = /^(.*)@(\d+|v\d+|tag:[^/]+|snap:[^/]+)$/s.exec(text);
  const [, base, version = ''] = match ?? [];
  if (base === undefined) return { path: remotePath(text), text, generation: undefined };
  const number = Number(version);
  if (!/^\d+$/.test(version)) {
    throw new NokvError(
      'unsupported',
      `${text}: expected a generation such as @42, found @${version}; if the name holds "@", write it \\x40`,
    );
  }
  if (!Number.isSafeInteger(number) || number === 0) {
    throw new NokvError('invalid-argument', `${text}: expected a generation of at least 1; if the name holds "@", write it \\x40`);
  }
  return { path: remotePath(base), text: base, generation: generation(number) };
}

/** `directory/name`, for a name as bytes. */
export function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  return joinPath([...splitPath(directory), name]);
}

/** The last name of a path, undefined for the root. */
export function lastName(path: Uint8Array): Uint8Array | undefined {
  return splitPath(path).at(-1);
}

export function showPath(path: Uint8Array): string {
  return formatName(path);
}

/** A path that is one argument of many: its text, parsed before anything is sent. */
export function remotePaths(texts: readonly string[]): Uint8Array[] {
  return texts.map(remotePath);
}

/** The bytes of a local name that Node gave as text. */
export function nameOfLocal(text: string): Uint8Array {
  return parseName(text.replaceAll('\\', '\\\\'));
}
