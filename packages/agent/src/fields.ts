/** The built-in fields: what `find` and `aggregate` can ask about any entry. */
import { NokvError, formatName } from '@nokv/types';
import { formatEvidence } from './evidence-uri.js';
import { timeValue, type FieldType, type FieldValue } from './field-value.js';
import { suggestion } from './near-names.js';
import type { PlaneEntry } from './plane.js';

/** An entry that a scan met. */
export interface ScannedEntry {
  readonly entry: PlaneEntry;
  /** 1 for children of the path that was asked. */
  readonly depth: number;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly description: string;
  /** All values that exist, where they are few and fixed. */
  readonly values?: readonly string[];
  /** `bytes`: values may be written `4MiB`; `octal`: modes; `extension`: a leading dot is dropped. */
  readonly notation?: 'bytes' | 'octal' | 'extension';
  /** True when a value costs one `stat` an entry, because listings do not carry it. */
  readonly isOnCard?: boolean;
  readonly get: (scanned: ScannedEntry) => FieldValue | undefined;
}

const TYPES = ['file', 'directory', 'symlink', 'fifo', 'char', 'block', 'socket'];

const FIELD_LIST: readonly Field[] = [
  { name: 'name', type: 'string', description: 'last component', get: ({ entry }) => entry.name },
  { name: 'path', type: 'string', description: 'absolute path', get: ({ entry }) => entry.path },
  {
    name: 'extension',
    type: 'string',
    description: 'after the last dot, without it',
    notation: 'extension',
    get: ({ entry }) => extensionOf(entry),
  },
  { name: 'type', type: 'string', description: 'kind of entry', values: TYPES, get: ({ entry }) => entry.card.type },
  { name: 'size', type: 'number', description: 'bytes', notation: 'bytes', get: ({ entry }) => entry.card.size },
  { name: 'mtime', type: 'time', description: 'body changed', get: ({ entry }) => timeValue(entry.card.mtime) },
  { name: 'ctime', type: 'time', description: 'attributes changed', get: ({ entry }) => timeValue(entry.card.ctime) },
  { name: 'atime', type: 'time', description: 'read', get: ({ entry }) => timeValue(entry.card.atime) },
  { name: 'generation', type: 'number', description: 'version of the body', get: ({ entry }) => bodyNumber(entry, entry.card.generation) },
  { name: 'ordinal', type: 'number', description: 'bodies so far', get: ({ entry }) => bodyNumber(entry, entry.card.ordinal) },
  { name: 'revision', type: 'number', description: 'changes so far', get: ({ entry }) => entry.card.revision },
  { name: 'inode', type: 'number', description: 'inode number', get: ({ entry }) => entry.card.ino },
  { name: 'mode', type: 'string', description: 'permissions, octal', notation: 'octal', get: ({ entry }) => formatMode(entry.card.mode) },
  { name: 'uid', type: 'number', description: 'owner', get: ({ entry }) => entry.card.uid },
  { name: 'gid', type: 'number', description: 'group', get: ({ entry }) => entry.card.gid },
  { name: 'nlink', type: 'number', description: 'hard links', get: ({ entry }) => entry.card.nlink },
  {
    name: 'children',
    type: 'number',
    description: 'entries of a directory',
    get: ({ entry }) => (entry.card.type === 'directory' ? entry.card.children : undefined),
  },
  { name: 'depth', type: 'number', description: 'levels below the path asked', get: ({ depth }) => depth },
  { name: 'contentType', type: 'string', description: 'media type', isOnCard: true, get: ({ entry }) => entry.card.contentType },
  { name: 'digest', type: 'string', description: 'sha256:… of the body', isOnCard: true, get: ({ entry }) => entry.card.digest },
  { name: 'producer', type: 'string', description: 'who published it', isOnCard: true, get: ({ entry }) => entry.card.producer },
  {
    name: 'target',
    type: 'string',
    description: 'where a symlink leads',
    isOnCard: true,
    get: ({ entry }) => (entry.card.target === undefined ? undefined : formatName(entry.card.target)),
  },
  { name: 'uri', type: 'string', description: 'citable URI of the body', get: ({ entry }) => uriOf(entry) },
];

/** In the order that `catalog` shows. */
export const FIELDS: ReadonlyMap<string, Field> = new Map(FIELD_LIST.map((field) => [field.name, field]));

/** Words that other tools use for the same things. */
const ALIASES: Readonly<Record<string, string>> = {
  kind: 'type',
  modified: 'mtime',
  owner: 'uid',
  ext: 'extension',
  ino: 'inode',
  content_type: 'contentType',
  bytes: 'size',
};

/** The field of that name, or `invalid-argument` with the names that are near. */
export function fieldNamed(name: string, argument: string): Field {
  const field = FIELDS.get(name) ?? FIELDS.get(Object.hasOwn(ALIASES, name) ? (ALIASES[name] ?? '') : '');
  if (field !== undefined) return field;
  throw new NokvError(
    'invalid-argument',
    `${argument}: unknown field ${JSON.stringify(name)}; ${suggestion(name, FIELDS.keys(), 'fields')}`,
    {
      details: { argument, field: name },
    },
  );
}

/** A citable URI of the entry's current body; undefined for what has none. */
export function uriOf(entry: PlaneEntry): string | undefined {
  return entry.card.type === 'file' ? formatEvidence({ path: entry.path, generation: entry.card.generation }) : undefined;
}

export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function bodyNumber(entry: PlaneEntry, value: number): number | undefined {
  return entry.card.type === 'file' ? value : undefined;
}

function extensionOf(entry: PlaneEntry): string | undefined {
  const dot = entry.name.lastIndexOf('.');
  return dot > 0 && dot < entry.name.length - 1 && entry.card.type !== 'directory' ? entry.name.slice(dot + 1) : undefined;
}
