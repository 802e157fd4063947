/** The `--json` members of an inode: the same for `stat`, `ls` and everything else that lists entries. */
import { formatName, formatTimespec, type Attributes, type NodeCard } from '@nokv/types';
import { formatMode } from './quantities.js';

export interface EntryJson {
  readonly path: string;
  readonly inode: number;
  readonly type: Attributes['type'];
  /** Permissions in octal, such as `0644`. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly blocks: number;
  /** RFC 3339 with nanoseconds. */
  readonly mtime: string;
  readonly ctime: string;
  readonly atime: string;
  readonly generation: number;
  readonly ordinal: number;
  readonly revision: number;
  readonly digest: string | null;
  readonly contentType: string | null;
  readonly inline: boolean;
  readonly tags: Readonly<Record<string, string>>;
  readonly target: string | null;
  readonly rdev: number;
}

export function entryJson(path: string, card: Attributes & Partial<NodeCard>): EntryJson {
  return {
    path,
    inode: card.ino,
    type: card.type,
    mode: formatMode(card.mode),
    uid: card.uid,
    gid: card.gid,
    nlink: card.nlink,
    size: card.size,
    blocks: card.blocks,
    mtime: formatTimespec(card.mtime),
    ctime: formatTimespec(card.ctime),
    atime: formatTimespec(card.atime),
    generation: card.generation,
    ordinal: card.ordinal,
    revision: card.revision,
    digest: card.digest ?? null,
    contentType: card.contentType ?? null,
    inline: card.type === 'file' && (card.inline ?? false),
    tags: {},
    target: card.target === undefined ? null : formatName(card.target),
    rdev: card.rdev,
  };
}

const TYPE_LETTERS: Readonly<Record<Attributes['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  char: 'c',
  block: 'b',
  socket: 's',
};

/** `-rwxr-sr-t`, as ls(1) writes it. */
export function modeLetters({ type, mode }: Pick<Attributes, 'type' | 'mode'>): string {
  const triple = (shift: number, special: number, letter: string) => {
    const bits = (mode >> shift) & 7;
    const x = (bits & 1) !== 0;
    const last = (mode & special) === 0 ? (x ? 'x' : '-') : x ? letter : letter.toUpperCase();
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
  };
  return `${TYPE_LETTERS[type]}${triple(6, 0o4000, 's')}${triple(3, 0o2000, 's')}${triple(0, 0o1000, 't')}`;
}
