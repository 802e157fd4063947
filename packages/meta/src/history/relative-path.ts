/** Paths below a node: names with slashes between them, empty for the node itself. */
import { joinPath } from '@nokv/types';

const SLASH = 0x2f;

export function relativePath(names: readonly Uint8Array[]): Uint8Array {
  return joinPath(names).subarray(1);
}

export function relativeNames(path: Uint8Array): Uint8Array[] {
  return path.length === 0 ? [] : splitAtSlashes(path);
}

/** What lies between slashes, empty parts too: for those who check them. */
export function splitAtSlashes(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let end = 0; end <= path.length; end++) {
    if (end < path.length && path[end] !== SLASH) continue;
    parts.push(path.subarray(start, end));
    start = end + 1;
  }
  return parts;
}
