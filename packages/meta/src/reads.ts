/** The read operations over one read view. Synchronous; refusals are thrown. */
import {
  LIST_LIMIT_MAX,
  LOCAL_INODES_PER_SHARD,
  READ_MANY_BYTES_MAX,
  READ_MANY_MAX,
  NokvError,
  checkName,
  toNokvError,
  unreachable,
  type At,
  type Body,
  type ChangeRecord,
  type ChangesResult,
  type Generation,
  type InodeNumber,
  type ListEntry,
  type ListResult,
  type NodeCard,
  type NodeRef,
  type ReadOperation,
  type ReadOperations,
  type ReadPlan,
  type ReadResult,
  type RetentionPolicy,
  type Settled,
  type StatfsResult,
  type Timespec,
  type Version,
} from '@nokv/types';
import { isWatchable } from './evaluated-batch.js';
import { log } from './history/log.js';
import { livePin, momentOf, versionAtTime, type Moment } from './history/moment.js';
import { PastView, type PinnedRoot } from './history/past-view.js';
import { pathOf } from './history/path-of.js';
import { listPins, pinInfo } from './history/pins.js';
import { planPrune } from './history/prune.js';
import { retentionOf } from './history/retention.js';
import { FAMILY, NAME_AT, changeKey, digestKey, familyEnd, historyKey, inodeKey, parseChangeKey } from './key.js';
import { Unmaterialised } from './history/unmaterialised.js';
import { checkXattrName, noXattr } from './operations/xattr.js';
import { pathChanges } from './changes/path-changes.js';
import type { PathLogOptions } from './changes/path-log.js';
import { READ, SEARCH, checkAccess, checkTrusted, checkXattr, grants, restricted } from './permissions.js';
import type { NamespaceView, ReadView } from './read-view.js';
import { describe, notDirectory, notFound, resolveInode, resolvePlace } from './resolve.js';
import { listLocks, listSessions, testLock } from './session-reads.js';
import { copyBytes } from './row-writer.js';
import { decodeDentry, decodeInode, toAttributes, type Inode } from './value-inode.js';
import { decodeDigest, sha256Of } from './value-body.js';
import { decodeChange, type CountersRow } from './value-log.js';

/** What reads need to know beside the rows. */
export interface ReadState {
  readonly counters: CountersRow;
  /** Newest version that anything can be read at; reads of what is not flushed wait. */
  readonly visible: Version;
  readonly retentionDefault: RetentionPolicy;
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

/** Reads that callers of limited rights may ask for: those that check them. */
const GUARDED: ReadonlySet<ReadOperation> = new Set<ReadOperation>([
  'lookup',
  'getattr',
  'stat',
  'list',
  'readlink',
  'path-of',
  'xattr-get',
  'xattr-list',
  'open-read',
  'statfs',
  'stat-many',
  'read-many',
  'find-body',
  'test-lock',
  'list-locks',
]);

function answer(reader: ReadView, state: ReadState, operation: ReadOperation, args: unknown): AnyRead {
  if (restricted(reader.caller) !== undefined) {
    if (!GUARDED.has(operation)) checkTrusted(reader.caller, operation);
  }
  const { at } = args as { readonly at?: At };
  const view = at === undefined ? reader : openMoment(reader, state, at);
  switch (operation) {
    case 'lookup':
      return lookup(view, args as Args<'lookup'>);
    case 'getattr':
      return toAttributes(mustShow(view, args as Args<'getattr'>, false));
    case 'stat':
      return stat(view, args as Args<'stat'>);
    case 'list':
      return list(view, args as Args<'list'>);
    case 'readlink':
      return readlink(view, args as Args<'readlink'>);
    case 'path-of':
      return { path: pathOf(view, (args as Args<'path-of'>).ino) };
    case 'xattr-get':
      return xattrGet(view, args as Args<'xattr-get'>);
    case 'xattr-list':
      return { names: xattrNames(view, mustShow(view, (args as Args<'xattr-list'>).node, true)) };
    case 'open-read':
      return openRead(reader, view, state, args as Args<'open-read'>);
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
      return listPins(reader, args as Args<'pins'>);
    case 'pin': {
      const { id, row } = livePin(reader.view, (args as Args<'pin'>).pin, state.now());
      return pinInfo(id, row);
    }
    case 'log':
      return log(reader, args as Args<'log'>);
    case 'retention-get':
      return retentionOf(reader, args as Args<'retention-get'>, state.retentionDefault);
    case 'prune-plan':
      return planPrune(reader, args as Args<'prune-plan'>, { now: state.now(), retention: state.retentionDefault });
    case 'version-at':
      return { version: moment(reader, state, (args as Args<'version-at'>).at).version };
    case 'stat-many':
      return statMany(view, args as Args<'stat-many'>);
    case 'read-many':
      return readMany(reader, view, state, args as Args<'read-many'>);
    case 'find-body':
      return findBody(reader, args as Args<'find-body'>);
    case 'path-changes':
      return pathChanges(state.log, args as Args<'path-changes'>);
    default:
      return unreachable(operation);
  }
}

function openMoment(reader: ReadView, state: ReadState, at: At): PastView {
  const { version, pinned } = moment(reader, state, at);
  // What lies above a pinned root is not shown as it was, and so cannot be asked who may pass.
  if (pinned !== undefined && pinned.ino !== reader.root) checkTrusted(reader.caller, 'a snapshot of a part of the namespace');
  return pastOf(reader, version, pinned);
}

function pastOf(reader: ReadView, version: Version, pinned?: PinnedRoot): PastView {
  const past = new PastView(reader.view, reader.root, version, pinned);
  past.caller = reader.caller;
  return past;
}

function moment(reader: ReadView, state: ReadState, at: At): Moment {
  const { newest, changesForgotten: forgotten } = state;
  const bounds = { newest: state.visible, forgotten, time: state.now() };
  if ('time' in at) return { version: versionAtTime(reader.view.kv, at.time, newest, forgotten), pinned: undefined, isExact: false };
  return momentOf(reader.view, at, bounds);
}

/** The inode that a reference names, where the view may show it. */
function mustShow(view: NamespaceView, ref: NodeRef, follow: boolean): Inode {
  const inode = resolveInode(view, ref, follow);
  if (!view.shows(inode.ino)) throw notFound(ref, 'it lies outside what the snapshot shows');
  return inode;
}

function lookup(reader: NamespaceView, { parent, name }: Args<'lookup'>): ReadResult<'lookup'> {
  checkName(name);
  if (restricted(reader.caller) !== undefined) resolvePlace(reader, { parent, name }, { follow: false });
  const found = reader.attributesAt(parent, name);
  if (found !== undefined && reader.shows(found.ino)) return found;
  const directory = reader.inode(parent);
  if (directory === undefined) throw notFound({ parent, name }, `directory inode ${parent} does not exist`);
  if (directory.type !== 'directory') throw notDirectory({ parent, name }, `inode ${parent}`);
  throw notFound({ parent, name });
}

function stat(reader: NamespaceView, { node, follow }: Args<'stat'>): NodeCard {
  const inode = mustShow(reader, node, follow !== false);
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

function statMany(reader: NamespaceView, { nodes, follow }: Args<'stat-many'>): ReadResult<'stat-many'> {
  checkMany(nodes);
  let left = READ_MANY_BYTES_MAX;
  const answers = nodes.map((node) =>
    settled(() => {
      const card = stat(reader, follow === undefined ? { node } : { node, follow });
      left -= PLAN_BYTES + card.xattrs.reduce((sum, { length }) => sum + length + 2, card.target?.length ?? 0);
      if (left < 0) throw new NokvError('too-large', `${describe(node)} does not fit into this answer; ask for it alone`);
      return card;
    }),
  );
  return { answers };
}

/** Who may not read the body is told nothing of it, not even that it is there. */
function findBody(reader: ReadView, { digest }: Args<'find-body'>): ReadResult<'find-body'> {
  const sha256 = sha256Of(digest);
  if (sha256 === undefined) throw new NokvError('invalid-argument', `expected sha256: and 64 hex digits, found ${digest}`);
  const row = reader.view.get(digestKey(sha256));
  if (row === undefined) return {};
  const { ino, generation } = decodeDigest(row);
  const inode = reader.inode(ino);
  const head = inode === undefined ? undefined : reader.bodyHead(ino, generation);
  if (inode === undefined || head === undefined || head.lost !== undefined || head.inline || head.digest !== digest) return {};
  return mayReach(reader, inode) ? { ino, generation } : {};
}

/** By a path: knowing a digest must not open what lies in a closed directory. Of a file with several names nobody knows which. */
function mayReach(reader: ReadView, file: Inode): boolean {
  if (restricted(reader.caller) === undefined) return true;
  if (!grants(reader.caller, file, READ) || file.parent === 0) return false;
  let at = reader.inode(file.parent);
  // Ends at the root: parents of directories form a tree.
  while (at !== undefined) {
    if (!grants(reader.caller, at, SEARCH)) return false;
    if (at.ino === reader.root || at.parent === 0) return true;
    at = reader.inode(at.parent);
  }
  return false;
}

/** What one answer takes beside its body. */
const PLAN_BYTES = 512;
const EXTENT_BYTES = 64;

function readMany(
  reader: ReadView,
  view: NamespaceView,
  state: ReadState,
  { nodes, bytesMax, generations }: Args<'read-many'>,
): ReadResult<'read-many'> {
  checkMany(nodes);
  if (!Number.isInteger(bytesMax) || bytesMax < 1 || bytesMax > READ_MANY_BYTES_MAX) {
    throw new NokvError('invalid-argument', `an answer holds 1 to ${READ_MANY_BYTES_MAX} bytes, found bytesMax ${bytesMax}`);
  }
  if (generations !== undefined && generations.length !== nodes.length) {
    throw new NokvError('invalid-argument', `expected a generation for each of ${nodes.length} nodes, found ${generations.length}`);
  }
  let left = bytesMax;
  const answers = nodes.map((node, index) =>
    settled(() => {
      const generation = generations?.[index];
      const plan = openRead(reader, view, state, generation === undefined ? { node } : { node, generation });
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
    // A fork takes over what was asked for, then all of it is asked again.
    if (error instanceof Unmaterialised) throw error;
    return { ok: false, error: toNokvError(error) };
  }
}

/** One scan over the entries of a directory; attributes come with the entries, save for directories and shared files. */
function list(reader: NamespaceView, { node, after, limit, attributes }: Args<'list'>): ListResult {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${LIST_LIMIT_MAX} entries, found limit ${limit}`);
  }
  const directory = mustShow(reader, node, true);
  if (directory.type !== 'directory') throw notDirectory(node);
  checkAccess(reader.caller, directory, attributes ? READ | SEARCH : READ, () => describe(node));
  const entries: ListEntry[] = [];
  /** Entries that repeat no attributes: read once the scan is over, since the scan's values last until the next read. */
  const bare: number[] = [];
  let more = false;
  for (const { key, value } of reader.entryRows(directory, after)) {
    if (entries.length === limit) {
      more = true;
      break;
    }
    const { ino, type } = decodeDentry(value);
    const entry = { name: copyBytes(key, NAME_AT, key.length), ino, type };
    if (!attributes) entries.push(entry);
    else if (reader.repeatsAttributes && value.length > BARE_ENTRY_BYTES) entries.push({ ...entry, ...withAttributes(reader, value) });
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

function withAttributes(reader: NamespaceView, value: Uint8Array): Pick<ListEntry, 'attributes'> {
  const attributes = reader.attributesOf(value);
  return attributes === undefined ? {} : { attributes };
}

function readlink(reader: NamespaceView, { node }: Args<'readlink'>): ReadResult<'readlink'> {
  const { type, target } = mustShow(reader, node, false);
  if (type !== 'symlink') throw new NokvError('not-symlink', `${describe(node)} is a ${type}, not a symlink`);
  return { target };
}

function xattrGet(reader: NamespaceView, { node, name }: Args<'xattr-get'>): ReadResult<'xattr-get'> {
  checkXattrName(name);
  const inode = mustShow(reader, node, true);
  checkXattr(reader.caller, inode, name, READ, () => describe(node));
  const value = inode.xattrListBytes === 0 ? undefined : reader.xattr(inode.ino, name);
  if (value === undefined) throw noXattr(describe(node), name);
  return { value };
}

function xattrNames(reader: NamespaceView, { ino, xattrListBytes }: Inode): readonly Uint8Array[] {
  if (xattrListBytes === 0) return NO_NAMES;
  return Array.from(reader.xattrs(ino), ({ name }) => name);
}

function openRead(reader: ReadView, view: NamespaceView, state: ReadState, { node, generation }: Args<'open-read'>): ReadPlan {
  const wanted = generation === undefined || generation === 0 ? undefined : generation;
  const inode = wanted !== undefined && 'ino' in node ? (view.inode(node.ino) ?? removedInode(reader, node.ino)) : undefined;
  const found = inode ?? (wanted === undefined ? mustShow(view, node, true) : publisherOf(reader, view, state, node, wanted));
  checkAccess(reader.caller, found, READ, () => describe(node));
  if (found.type === 'directory') throw new NokvError('is-directory', `${describe(node)} is a directory; list it instead`);
  if (found.type !== 'file') throw new NokvError('not-regular-file', `${describe(node)} is a ${found.type}; only files have bodies`);
  const attributes = toAttributes(found);
  const shown = wanted ?? found.generation;
  if (shown === 0) return { attributes, generation: shown, body: { kind: 'inline', bytes: NO_TARGET } };
  const row = view.body(found.ino, shown);
  if (row === undefined || row.lost !== undefined) throw noBody(node, shown, found.generation);
  const { digest, contentType, body } = row;
  return {
    attributes: shown === found.generation ? attributes : { ...attributes, size: sizeOf(body), generation: shown },
    generation: shown,
    ...(digest === undefined ? {} : { digest }),
    ...(contentType === undefined ? {} : { contentType }),
    body,
  };
}

/** The file that has or had a generation: the one at the path now, else the one that lay there when that was published. */
function publisherOf(reader: ReadView, view: NamespaceView, state: ReadState, node: Args<'open-read'>['node'], wanted: Generation): Inode {
  let now: Inode | undefined;
  let absent: unknown;
  try {
    now = mustShow(view, node, true);
    if (now.type !== 'file' || view.bodyHead(now.ino, wanted) !== undefined) return now;
  } catch (error) {
    if (!(error instanceof NokvError)) throw error;
    absent = error;
  }
  const version = wanted as number as Version;
  if (version <= state.visible && version >= state.changesForgotten) {
    try {
      const then = resolveInode(pastOf(reader, version), node, true);
      if (then.type === 'file' && view.bodyHead(then.ino, wanted) !== undefined) return view.inode(then.ino) ?? gone(then);
    } catch (error) {
      if (!(error instanceof NokvError)) throw error;
    }
  }
  if (now !== undefined) return now;
  throw absent;
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
