/** The read operations over one read view. Synchronous; refusals are thrown. */
import {
  LIST_LIMIT_MAX,
  LOCAL_INODES_PER_SHARD,
  READ_MANY_BYTES_MAX,
  READ_MANY_MAX,
  NokvError,
  checkName,
  joinPath,
  toNokvError,
  unreachable,
  type Body,
  type ChangeRecord,
  type ChangesResult,
  type Generation,
  type InodeNumber,
  type ListEntry,
  type ListResult,
  type NodeCard,
  type ReadOperation,
  type ReadOperations,
  type ReadPlan,
  type ReadResult,
  type Settled,
  type StatfsResult,
  type Timespec,
  type Version,
} from '@nokv/types';
import {
  FAMILY,
  changeKey,
  dentryKey,
  familyEnd,
  historyKey,
  inodeKey,
  keyAfter,
  NAME_AT,
  numberEnd,
  numberStart,
  parseChangeKey,
  xattrKey,
} from './key.js';
import { isWatchable } from './evaluated-batch.js';
import { checkXattrName, noXattr } from './operations/xattr.js';
import { pathChanges } from './path-changes.js';
import type { PathLogOptions } from './path-log.js';
import type { ReadView } from './read-view.js';
import { describe, notDirectory, notFound, resolveInode } from './resolve.js';
import { readU64 } from './row-reader.js';
import { listLocks, listSessions, testLock } from './session-reads.js';
import { copyBytes } from './row-writer.js';
import { decodeXattr } from './value-body.js';
import { decodeDentry, decodeInode, toAttributes, type Inode } from './value-inode.js';
import { decodeChange, type CountersRow } from './value-log.js';

/** What reads need to know beside the rows. */
export interface ReadState {
  readonly counters: CountersRow;
  /** Newest version that a change listing may show. */
  readonly newest: Version;
  readonly changesForgotten: Version;
  readonly bytesCapacity: number;
  readonly log: PathLogOptions;
  /** The time, for what ends by it; read by few. */
  readonly now: () => Timespec;
}

const NO_NAMES: readonly Uint8Array[] = [];
const NO_TARGET = new Uint8Array(0);
const CHANGES_LIMIT_MAX = 65_536;
/** Names of a hard link that are tried for one that a path leads to. */
const LINKS_TRIED_MAX = 1024;

export function read<Op extends ReadOperation>(
  reader: ReadView,
  state: ReadState,
  operation: Op,
  args: ReadOperations[Op]['args'],
): ReadResult<Op> {
  return answer(reader, state, operation, args) as ReadResult<Op>;
}

type AnyRead = { readonly [Op in ReadOperation]: ReadOperations[Op]['result'] }[ReadOperation];
type Args<Op extends ReadOperation> = ReadOperations[Op]['args'];

function answer(reader: ReadView, state: ReadState, operation: ReadOperation, args: unknown): AnyRead {
  switch (operation) {
    case 'lookup':
      return lookup(reader, args as Args<'lookup'>);
    case 'getattr':
      return toAttributes(resolveInode(reader, args as Args<'getattr'>, false));
    case 'stat':
      return stat(reader, args as Args<'stat'>);
    case 'list':
      return list(reader, args as Args<'list'>);
    case 'readlink':
      return readlink(reader, args as Args<'readlink'>);
    case 'path-of':
      return pathOf(reader, args as Args<'path-of'>);
    case 'xattr-get':
      return xattrGet(reader, args as Args<'xattr-get'>);
    case 'xattr-list':
      return { names: xattrNames(reader, resolveInode(reader, (args as Args<'xattr-list'>).node, true)) };
    case 'open-read':
      return openRead(reader, args as Args<'open-read'>);
    case 'test-lock':
      return testLock(reader, state.now(), args as Args<'test-lock'>);
    case 'list-locks':
      return listLocks(reader, state.now(), args as Args<'list-locks'>);
    case 'list-sessions':
      return listSessions(reader, state.now(), args as Args<'list-sessions'>);
    case 'statfs':
      return statfs(state);
    case 'changes':
      return changes(reader, state, args as Args<'changes'>);
    case 'pins':
    case 'pin':
    case 'log':
    case 'retention-get':
    case 'prune-plan':
    case 'version-at':
      throw new NokvError('unsupported', `${operation} is not served by this build`);
    case 'stat-many':
      return statMany(reader, args as Args<'stat-many'>);
    case 'read-many':
      return readMany(reader, args as Args<'read-many'>);
    case 'path-changes':
      return pathChanges(state.log, args as Args<'path-changes'>);
    default:
      return unreachable(operation);
  }
}

function lookup(reader: ReadView, { parent, name }: Args<'lookup'>): ReadResult<'lookup'> {
  checkName(name);
  const found = reader.attributesAt(parent, name);
  if (found !== undefined) return found;
  const directory = reader.inode(parent);
  if (directory === undefined) throw notFound({ parent, name }, `directory inode ${parent} does not exist`);
  if (directory.type !== 'directory') throw notDirectory({ parent, name }, `inode ${parent}`);
  throw notFound({ parent, name });
}

function stat(reader: ReadView, { node, follow }: Args<'stat'>): NodeCard {
  const inode = resolveInode(reader, node, follow !== false);
  const head = inode.generation === 0 ? undefined : reader.bodyHead(inode.ino, inode.generation);
  // Grown in place: this is the hottest answer of all, and spreading costs more than the reads.
  const card = toAttributes(inode) as { -readonly [Key in keyof NodeCard]: NodeCard[Key] };
  card.inline = head === undefined || head.inline;
  card.xattrs = xattrNames(reader, inode);
  if (inode.type === 'symlink') card.target = inode.target;
  if (head === undefined) return card;
  if (head.digest !== undefined) card.digest = head.digest;
  if (head.contentType !== undefined) card.contentType = head.contentType;
  if (head.producer !== undefined) card.producer = head.producer;
  return card;
}

function statMany(reader: ReadView, { nodes, follow }: Args<'stat-many'>): ReadResult<'stat-many'> {
  checkMany(nodes);
  return { answers: nodes.map((node) => settled(() => stat(reader, follow === undefined ? { node } : { node, follow }))) };
}

/** What one answer takes beside its body. */
const PLAN_BYTES = 512;
const EXTENT_BYTES = 64;

function readMany(reader: ReadView, { nodes, bytesMax }: Args<'read-many'>): ReadResult<'read-many'> {
  checkMany(nodes);
  if (!Number.isInteger(bytesMax) || bytesMax < 1 || bytesMax > READ_MANY_BYTES_MAX) {
    throw new NokvError('invalid-argument', `an answer holds 1 to ${READ_MANY_BYTES_MAX} bytes, found bytesMax ${bytesMax}`);
  }
  let left = bytesMax;
  const answers = nodes.map((node) =>
    settled(() => {
      const plan = openRead(reader, { node });
      const { body } = plan;
      const bytes = PLAN_BYTES + (body.kind === 'inline' ? body.bytes.length : body.manifest.extents.length * EXTENT_BYTES);
      if (bytes > left) {
        throw new NokvError('too-large', `${describe(node)} does not fit into the ${bytesMax} bytes of this answer; ask for it again`, {
          details: { bytesMax },
        });
      }
      left -= bytes;
      return plan;
    }),
  );
  return { answers };
}

function checkMany({ length }: { readonly length: number }): void {
  if (length > READ_MANY_MAX) throw new NokvError('invalid-argument', `one read asks for at most ${READ_MANY_MAX} nodes, found ${length}`);
}

function settled<Value>(answerOne: () => Value): Settled<Value> {
  try {
    return { ok: true, value: answerOne() };
  } catch (error) {
    return { ok: false, error: toNokvError(error) };
  }
}

/** One scan over the entries of a directory; attributes come with the entries, save for directories and shared files. */
function list(reader: ReadView, { node, after, limit, attributes }: Args<'list'>): ListResult {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${LIST_LIMIT_MAX} entries, found limit ${limit}`);
  }
  const directory = resolveInode(reader, node, true);
  if (directory.type !== 'directory') throw notDirectory(node);
  const start = after === undefined ? numberStart(FAMILY.dentry, directory.ino) : keyAfter(dentryKey(directory.ino, after));
  const entries: ListEntry[] = [];
  /** Entries that repeat no attributes: read once the scan is over, since the scan's values last until the next read. */
  const bare: number[] = [];
  let more = false;
  for (const { key, value } of reader.view.range(start, numberEnd(FAMILY.dentry, directory.ino))) {
    if (entries.length === limit) {
      more = true;
      break;
    }
    const { ino, type } = decodeDentry(value);
    const entry = { name: copyBytes(key, NAME_AT, key.length), ino, type };
    if (!attributes) entries.push(entry);
    else if (value.length > BARE_ENTRY_BYTES) entries.push({ ...entry, ...withAttributes(reader, value) });
    else {
      bare.push(entries.length);
      entries.push(entry);
    }
  }
  for (const at of bare) {
    const entry = entries[at] as ListEntry;
    const inode = reader.inode(entry.ino);
    if (inode !== undefined) entries[at] = { ...entry, attributes: toAttributes(inode) };
  }
  return { directory: directory.ino, entries, more };
}

const BARE_ENTRY_BYTES = 17;

function withAttributes(reader: ReadView, value: Uint8Array): Pick<ListEntry, 'attributes'> {
  const attributes = reader.attributesOf(value);
  return attributes === undefined ? {} : { attributes };
}

function readlink(reader: ReadView, { node }: Args<'readlink'>): ReadResult<'readlink'> {
  const { type, target } = resolveInode(reader, node, false);
  if (type !== 'symlink') throw new NokvError('not-symlink', `${describe(node)} is a ${type}, not a symlink`);
  return { target };
}

function pathOf(reader: ReadView, { ino }: Args<'path-of'>): ReadResult<'path-of'> {
  const inode = reader.inode(ino);
  if (inode === undefined) throw notFound({ ino });
  if (ino === reader.root) return { path: joinPath([]) };
  for (const { parent, name } of placesOf(reader, inode)) {
    const names = namesAbove(reader, parent);
    if (names !== undefined) return { path: joinPath([...names, name]) };
  }
  throw notFound({ ino }, 'no path leads to it');
}

/** Names from the root down to a directory; undefined where it lies in the trash or in a staged tree. */
function namesAbove(reader: ReadView, directory: InodeNumber): Uint8Array[] | undefined {
  const names: Uint8Array[] = [];
  // Ends at a root: parents of directories form a tree.
  for (let at = directory; at !== reader.root;) {
    const inode = reader.inode(at);
    if (inode === undefined || inode.parent === 0) return undefined;
    names.push(inode.name);
    at = inode.parent;
  }
  return names.reverse();
}

/** The one place of an inode, or those of one with several names; no more than is useful of many. */
function placesOf(reader: ReadView, inode: Inode): { readonly parent: InodeNumber; readonly name: Uint8Array }[] {
  if (inode.parent !== 0 || inode.type === 'directory') return inode.parent === 0 ? [] : [inode];
  const places: { parent: InodeNumber; name: Uint8Array }[] = [];
  for (const { key } of reader.view.range(numberStart(FAMILY.link, inode.ino), numberEnd(FAMILY.link, inode.ino))) {
    places.push({ parent: readU64(key, 9) as InodeNumber, name: copyBytes(key, 17, key.length) });
    if (places.length === LINKS_TRIED_MAX) break;
  }
  return places;
}

function xattrGet(reader: ReadView, { node, name }: Args<'xattr-get'>): ReadResult<'xattr-get'> {
  checkXattrName(name);
  const { ino, xattrListBytes } = resolveInode(reader, node, true);
  const bytes = xattrListBytes === 0 ? undefined : reader.view.get(xattrKey(ino, name));
  if (bytes === undefined) throw noXattr(describe(node), name);
  return { value: decodeXattr(bytes) };
}

function xattrNames(reader: ReadView, { ino, xattrListBytes }: Inode): readonly Uint8Array[] {
  if (xattrListBytes === 0) return NO_NAMES;
  const names: Uint8Array[] = [];
  for (const { key } of reader.view.range(numberStart(FAMILY.xattr, ino), numberEnd(FAMILY.xattr, ino))) {
    names.push(copyBytes(key, NAME_AT, key.length));
  }
  return names;
}

function openRead(reader: ReadView, { node, generation }: Args<'open-read'>): ReadPlan {
  const wanted = generation === undefined || generation === 0 ? undefined : generation;
  const inode = wanted !== undefined && 'ino' in node ? (reader.inode(node.ino) ?? removedInode(reader, node.ino)) : undefined;
  const found = inode ?? resolveInode(reader, node, true);
  if (found.type === 'directory') throw new NokvError('is-directory', `${describe(node)} is a directory; list it instead`);
  if (found.type !== 'file') throw new NokvError('not-regular-file', `${describe(node)} is a ${found.type}; only files have bodies`);
  const attributes = toAttributes(found);
  const shown = wanted ?? found.generation;
  if (shown === 0) return { attributes, generation: shown, body: { kind: 'inline', bytes: NO_TARGET } };
  const row = reader.body(found.ino, shown);
  if (row === undefined) throw noBody(node, shown, found.generation);
  const { digest, contentType, body } = row;
  return {
    attributes: shown === found.generation ? attributes : { ...attributes, size: sizeOf(body), generation: shown },
    generation: shown,
    ...(digest === undefined ? {} : { digest }),
    ...(contentType === undefined ? {} : { contentType }),
    body,
  };
}

function sizeOf(body: Body): number {
  return body.kind === 'inline' ? body.bytes.length : body.manifest.size;
}

function noBody(node: Args<'open-read'>['node'], wanted: Generation, current: Generation): NokvError {
  if (wanted > current) {
    return new NokvError('not-found', `${describe(node)} has no generation ${wanted}; the current one is ${current}`, {
      details: { generation: current },
    });
  }
  return new NokvError(
    'retention-ended',
    `generation ${wanted} of ${describe(node)} is not kept (any more); the current one is ${current}`,
    {
      details: { generation: current },
    },
  );
}

/** The last attributes of an inode that was removed, as long as history has them: for files that are read after their last unlink. */
function removedInode(reader: ReadView, ino: InodeNumber): Inode | undefined {
  const unflushed = reader.replacedInode(ino);
  if (unflushed !== undefined) return gone(unflushed);
  const key = inodeKey(ino);
  const start = historyKey(key, 0 as Version);
  const end = historyKey(key, Number.MAX_SAFE_INTEGER as Version);
  for (const { value } of reader.view.kv.range(start, end, { reverse: true, limit: 1 })) return gone(decodeInode(ino, value));
  return undefined;
}

function gone(inode: Inode): Inode {
  inode.nlink = 0;
  return inode;
}

function statfs({ counters, bytesCapacity }: ReadState): StatfsResult {
  return {
    bytesUsed: counters.bytes,
    inodesUsed: counters.inodes,
    bytesFree: Math.max(0, bytesCapacity - counters.bytes),
    inodesFree: LOCAL_INODES_PER_SHARD - counters.inodes,
  };
}

/** Changes that are durable; all changes of a version come on one page, which may so pass the limit. */
function changes(reader: ReadView, { newest, changesForgotten }: ReadState, { since, limit }: Args<'changes'>): ChangesResult {
  if (!Number.isInteger(limit) || limit < 1 || limit > CHANGES_LIMIT_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${CHANGES_LIMIT_MAX} changes, found limit ${limit}`);
  }
  if (since < changesForgotten) {
    throw new NokvError(
      'cursor-too-old',
      `changes up to version ${changesForgotten} are forgotten; read the tree again and go on from ${newest}`,
      {
        details: { oldest: changesForgotten, next: newest },
      },
    );
  }
  const found: ChangeRecord[] = [];
  if (since >= newest) return { changes: found, next: since };
  let next = newest;
  let rows = 0;
  for (const { key, value } of reader.view.kv.range(changeKey((since + 1) as Version, 0), familyEnd(FAMILY.change))) {
    const { version, ordinal } = parseChangeKey(key);
    if (version > newest) break;
    if (rows >= limit && ordinal === 0) {
      next = (version - 1) as Version;
      break;
    }
    rows += 1;
    reader.view.rowsRead += 1;
    const change = decodeChange(version, ordinal, value);
    if (isWatchable(change)) found.push(change);
  }
  return { changes: found, next };
}
