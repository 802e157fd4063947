/**
 * Mending what a check found. Everything is checked again here, against the state at the commit: what changed since is refused
 * with `revision-mismatch` and found again, or found right, by the next check.
 */
import { NokvError, timespecToMs, unreachable, type InodeNumber } from '@nokv/types';
import type { InternalCommand, RepairFix } from '../command.js';
import { GC_KIND, gcBodyKey, gcUploadKey } from '../key.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import { encodeRetired } from '../value-log.js';
import { created, makeInode } from './create.js';
import { dueMs, enterName, placeInode } from './directory.js';
import { FreshInodes } from './fresh-inodes.js';
import { allocatedBytes } from './setattr.js';

type RepairCommand = Extract<InternalCommand, { operation: 'repair' }>;
type FixOf<Kind extends RepairFix['kind']> = Extract<RepairFix, { kind: Kind }>;

/** Where inodes without a name are put, below the root. */
export const LOST_AND_FOUND = Buffer.from('lost+found');
const LOST_AND_FOUND_MODE = 0o700;
const LINKS_DROPPED_MAX = 2048;

export function repair(transaction: Transaction, command: RepairCommand): void {
  const { fix } = command.args;
  switch (fix.kind) {
    case 'directory-counts': {
      const directory = mustEdit(transaction, fix);
      directory.children = fix.children;
      directory.nlink = fix.nlink;
      return;
    }
    case 'names':
      return mendNames(transaction, fix);
    case 'adopt':
      return adopt(transaction, command, fix);
    case 'entry':
      return mendEntry(transaction, fix);
    case 'drop-entry':
      return dropEntry(transaction, fix);
    case 'drop-link':
      requireThat(transaction.inode(fix.ino) === undefined, `inode ${fix.ino} is there`);
      return transaction.removeLink(fix.ino, fix.parent, fix.name);
    case 'drop-xattr':
      requireThat(transaction.inode(fix.ino) === undefined, `inode ${fix.ino} is there`);
      return transaction.putXattr(fix.ino, fix.name, undefined);
    case 'xattr-bytes':
      requireThat(hasItsEntry(transaction, fix.ino), `inode ${fix.ino} has lost its entry`);
      mustEdit(transaction, fix).xattrListBytes = fix.bytes;
      return;
    case 'size':
      return mendSize(transaction, fix);
    case 'references':
      return mendReferences(transaction, command, fix);
    case 'queue-upload':
      return queueUpload(transaction, command, fix);
    case 'queue-body':
      requireThat(transaction.inode(fix.ino) === undefined, `inode ${fix.ino} is there`);
      return transaction.addWork(
        gcBodyKey(dueMs(transaction, command.retention.bodyMs), fix.ino, fix.generation),
        encodeRetired({ version: transaction.version, ms: dueMs(transaction, 0) }),
      );
    case 'counters':
      transaction.bytesDelta += fix.bytes;
      transaction.inodesDelta += fix.inodes;
      return;
    default:
      return unreachable(fix);
  }
}

/** The inode to be changed, if it is as it was when it was found damaged. */
function mustEdit(transaction: Transaction, { ino, revision }: { readonly ino: InodeNumber; readonly revision: number }): Inode {
  requireThat(transaction.inode(ino)?.revision === revision, `inode ${ino} is of another revision than ${revision}`);
  return transaction.edit(ino);
}

/** Writing an inode with one name writes its entry, too: it must be the right one. */
function hasItsEntry(transaction: Transaction, ino: InodeNumber): boolean {
  const inode = transaction.inode(ino);
  if (inode === undefined || inode.type === 'directory' || inode.nlink !== 1) return inode !== undefined;
  return transaction.entry(inode.parent, inode.name)?.ino === ino;
}

/** Every entry is checked to lead here; that there are no others was counted at this revision, and a new name would have raised it. */
function mendNames(transaction: Transaction, fix: FixOf<'names'>): void {
  const { ino, names } = fix;
  for (const { parent, name } of names) {
    requireThat(transaction.entry(parent, name)?.ino === ino, `an entry leads to inode ${ino} no more`);
  }
  const inode = mustEdit(transaction, fix);
  dropLinks(transaction, ino);
  const [only] = names;
  if (only === undefined) return;
  if (inode.type === 'directory' || names.length === 1) {
    if (inode.type !== 'directory') inode.nlink = 1;
    const entry = transaction.entry(only.parent, only.name);
    if (entry !== undefined) placeInode(inode, only.parent, only.name, entry.birth);
    return;
  }
  inode.nlink = names.length;
  placeInode(inode, 0 as InodeNumber, new Uint8Array(0), 0 as Inode['namedAt']);
  for (const { parent, name } of names) {
    transaction.putLink(ino, parent, name);
    transaction.refreshEntry(parent, name);
  }
}

function dropLinks(transaction: Transaction, ino: InodeNumber): void {
  for (const { parent, name } of transaction.links(ino, LINKS_DROPPED_MAX)) transaction.removeLink(ino, parent, name);
}

function adopt(transaction: Transaction, command: RepairCommand, fix: FixOf<'adopt'>): void {
  const inode = mustEdit(transaction, fix);
  const directory = lostAndFound(transaction, command);
  const at = { parent: directory, name: Buffer.from(`#${fix.ino}`) };
  requireThat(transaction.entry(at.parent, at.name) === undefined, `/lost+found/#${fix.ino} is taken`);
  dropLinks(transaction, fix.ino);
  leaveOldPlace(transaction, inode);
  if (inode.type !== 'directory') inode.nlink = 1;
  enterName(transaction, inode, at);
  transaction.change('created', inode, at);
}

/** A directory in a circle still has the entry by which it is held there. */
function leaveOldPlace(transaction: Transaction, inode: Inode): void {
  const { parent, name, ino } = inode;
  if (parent === 0 || transaction.entry(parent, name)?.ino !== ino) return;
  const holder = transaction.edit(parent);
  holder.children = Math.max(0, holder.children - 1);
  if (inode.type === 'directory') holder.nlink = Math.max(2, holder.nlink - 1);
  transaction.removeEntry(parent, name);
  transaction.change('removed', inode, { parent, name });
}

function lostAndFound(transaction: Transaction, command: RepairCommand): InodeNumber {
  const entry = transaction.entry(transaction.root, LOST_AND_FOUND);
  if (entry !== undefined) {
    if (entry.type === 'directory') return entry.ino;
    throw new NokvError('not-directory', '/lost+found is no directory; rename it, so that what has lost its name can be put there');
  }
  const fresh = new FreshInodes(command).take();
  const directory = makeInode(transaction, fresh, 'directory', { mode: LOST_AND_FOUND_MODE, uid: 0, gid: 0 });
  created(transaction, { parent: transaction.root, name: LOST_AND_FOUND, entry: undefined }, directory);
  return fresh;
}

function mendEntry(transaction: Transaction, { parent, name, ino }: FixOf<'entry'>): void {
  const inode = transaction.inode(ino);
  requireThat(inode !== undefined && transaction.entry(parent, name)?.ino === ino, `an entry leads to inode ${ino} no more`);
  transaction.rewriteEntry(parent, name, inode.type);
}

function dropEntry(transaction: Transaction, { parent, name, ino }: FixOf<'drop-entry'>): void {
  const entry = transaction.entry(parent, name);
  requireThat(entry?.ino === ino && transaction.inode(ino) === undefined, `an entry leads to no missing inode ${ino} any more`);
  transaction.removeEntry(parent, name);
  if (transaction.inode(parent)?.type !== 'directory') return;
  const directory = transaction.edit(parent);
  directory.children = Math.max(0, directory.children - 1);
  if (entry.type === 'directory') directory.nlink = Math.max(2, directory.nlink - 1);
}

function mendSize(transaction: Transaction, fix: FixOf<'size'>): void {
  const { ino, generation } = fix;
  const row = transaction.body(ino, generation);
  requireThat(transaction.inode(ino)?.generation === generation && row !== undefined, `inode ${ino} shows another body`);
  requireThat(hasItsEntry(transaction, ino), `inode ${ino} has lost its entry`);
  const inode = mustEdit(transaction, fix);
  const allocated = allocatedBytes(row.body);
  transaction.bytesDelta += allocated - inode.allocated;
  inode.allocated = allocated;
  inode.size = row.body.kind === 'inline' ? row.body.bytes.length : row.body.manifest.size;
}

function mendReferences(transaction: Transaction, { retention }: RepairCommand, { upload, delta }: FixOf<'references'>): void {
  const extent = transaction.extent(upload) ?? { references: 0, blocks: 0, bytes: 0 };
  const references = Math.max(0, extent.references + delta);
  transaction.putExtent(upload, { ...extent, references });
  if (references === 0 && transaction.upload(upload)?.state !== 'open') {
    transaction.addWork(gcUploadKey(dueMs(transaction, retention.extentMs), GC_KIND.extent, upload));
  }
}

/** What the queue leads to is judged again when it is due, so that a row too many does no harm. */
function queueUpload(transaction: Transaction, { retention }: RepairCommand, { upload }: FixOf<'queue-upload'>): void {
  const ledger = transaction.upload(upload);
  if (ledger?.state === 'open') {
    transaction.addWork(gcUploadKey(Math.max(0, Math.ceil(timespecToMs(ledger.expires))), GC_KIND.upload, upload));
  } else {
    transaction.addWork(gcUploadKey(dueMs(transaction, retention.extentMs), GC_KIND.extent, upload));
  }
}

function requireThat(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new NokvError('revision-mismatch', `not mended: ${otherwise}; check again`);
}
