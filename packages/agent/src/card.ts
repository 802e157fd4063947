/** The card of an entry as it stands in answers; the members are those of `nokv stat --json`. */
import { formatName, formatTimespec, type ErrorRecord } from '@nokv/types';
import { z } from 'zod';
import { formatMode, uriOf } from './fields.js';
import type { PlaneEntry } from './plane.js';

export const CARD = z.object({
  path: z.string(),
  inode: z.number(),
  type: z.string(),
  /** Octal, four digits or more. */
  mode: z.string(),
  uid: z.number(),
  gid: z.number(),
  nlink: z.number(),
  size: z.number(),
  blocks: z.number(),
  mtime: z.string(),
  ctime: z.string(),
  atime: z.string(),
  generation: z.number(),
  ordinal: z.number(),
  revision: z.number(),
  digest: z.string().optional(),
  contentType: z.string().optional(),
  producer: z.string().optional(),
  inline: z.boolean().optional(),
  target: z.string().optional(),
  rdev: z.number().optional(),
  children: z.number().optional(),
  xattrs: z.array(z.string()).optional(),
  uri: z.string().optional(),
});

export type Card = z.output<typeof CARD>;

export function cardOf(entry: PlaneEntry): Card {
  const { card } = entry;
  const uri = uriOf(entry);
  const isDevice = card.type === 'char' || card.type === 'block';
  return {
    path: entry.path,
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
    ...(card.digest === undefined ? {} : { digest: card.digest }),
    ...(card.contentType === undefined ? {} : { contentType: card.contentType }),
    ...(card.producer === undefined ? {} : { producer: card.producer }),
    ...(card.inline === undefined || card.type !== 'file' ? {} : { inline: card.inline }),
    ...(card.target === undefined ? {} : { target: formatName(card.target) }),
    ...(isDevice ? { rdev: card.rdev } : {}),
    ...(card.type === 'directory' ? { children: card.children } : {}),
    ...(card.xattrs === undefined || card.xattrs.length === 0 ? {} : { xattrs: card.xattrs.map(formatName) }),
    ...(uri === undefined ? {} : { uri }),
  };
}

/** What failed for one of several paths. */
export const ITEM_ERROR = z.object({ code: z.string(), kind: z.string(), message: z.string() });

export function itemError(record: ErrorRecord): z.output<typeof ITEM_ERROR> {
  return { code: record.code, kind: record.kind, message: record.message };
}
