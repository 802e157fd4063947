/** How people write remote paths: absolute, with escapes. */
import { formatName, joinPath, parseName, parsePath, splitPath } from '@nokv/types';

/** The path in normal form; `..` beyond the root, a relative path and over-long names are refused. */
export function remotePath(text: string): Uint8Array {
  return parsePath(text);
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
