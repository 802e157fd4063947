/** Differences as `--json` and as people read them. */
import type { Difference } from '@nokv/client';
import type { DiffKind, DiffNode } from '@nokv/types';
import { printable } from './printable.js';
import { formatMode, formatSize } from './quantities.js';

interface NodeJson {
  readonly inode: number;
  readonly type: DiffNode['type'];
  readonly size: number;
  /** Permissions in octal. */
  readonly mode: string;
  readonly generation: number;
  readonly digest: string | null;
}

export interface DifferenceJson {
  readonly kind: DiffKind;
  /** Relative to the two sides; empty for the sides themselves. */
  readonly path: string;
  readonly fromPath: string | null;
  readonly attributes: Difference['attributes'];
  readonly a: NodeJson | null;
  readonly b: NodeJson | null;
}

export function differenceJson({ kind, path, fromPath, attributes, a, b }: Difference): DifferenceJson {
  return { kind, path, fromPath: fromPath ?? null, attributes, a: nodeJson(a), b: nodeJson(b) };
}

function nodeJson(node: DiffNode | undefined): NodeJson | null {
  if (node === undefined) return null;
  const { ino, type, size, mode, generation, digest } = node;
  return { inode: ino, type, size, mode: formatMode(mode), generation, digest: digest ?? null };
}

const LETTERS: Readonly<Record<DiffKind, string>> = { added: 'A', removed: 'D', modified: 'M', renamed: 'R', attributes: 'P' };

export function shownPath(path: string): string {
  return printable(path === '' ? '.' : path);
}

/** `M  report.md  12 B -> 30 B, mode 0644 -> 0600`. */
export function differenceLine(row: Difference): string {
  const { kind, path, fromPath } = row;
  const where = kind !== 'renamed' || fromPath === undefined ? shownPath(path) : `${shownPath(fromPath)} -> ${shownPath(path)}`;
  const details = detailsOf(row);
  return `${LETTERS[kind]}  ${where}${details.length === 0 ? '' : `  ${details.join(', ')}`}`;
}

function detailsOf({ kind, attributes, a, b }: Difference): string[] {
  const one = a ?? b;
  if (a === undefined || b === undefined) return one === undefined ? [] : [one.type === 'file' ? formatSize(one.size) : one.type];
  const details: string[] = [];
  if (a.type !== b.type) details.push(`${a.type} -> ${b.type}`);
  else if (kind === 'modified' || a.digest !== b.digest) details.push(`${formatSize(a.size)} -> ${formatSize(b.size)}`);
  for (const attribute of attributes) {
    details.push(attribute === 'mode' ? `mode ${formatMode(a.mode)} -> ${formatMode(b.mode)}` : attribute);
  }
  return details;
}
