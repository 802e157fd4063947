/**
 * prune: forgets superseded bodies at and below a node before their time. What may go is decided by one function, for the plan that
 * people look at and for the command alike; a page of either does bounded work and says where to go on.
 */
import {
  NokvError,
  joinPath,
  splitPath,
  timespecToMs,
  type Generation,
  type InodeNumber,
  type InodeType,
  type PruneArgs,
  type PruneResult,
  type PrunedBody,
  type RetentionPolicy,
  type Timespec,
  type Version,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { FAMILY, NAME_AT, dentryKey, numberEnd, numberStart } from '../key.js';
import { forgetBody } from '../operations/directory.js';
import type { ReadView } from '../read-view.js';
import { resolveInode } from '../resolve.js';
import { copyBytes } from '../row-writer.js';
import type { Transaction } from '../transaction.js';
import { decodeDentry, type Inode } from '../value-inode.js';
import { HistoryReader } from './history-view.js';
import { mustPathOf } from './path-of.js';
import { PinCoverage } from './pin-coverage.js';
import { splitAtSlashes } from './relative-path.js';
import { checkPolicy, policyDefault, policyFor } from './retention.js';
import { superseded } from './superseded.js';

const PAGE_MAX = 1000;
/** Nodes that one page looks at. */
const VISITS_MAX = 2048;

export interface PruneState {
  readonly now: Timespec;
  readonly retention: RetentionPolicy;
}

export function prune(transaction: Transaction, { args, retention }: Extract<MutationCommand, { operation: 'prune' }>): PruneResult {
  const plan = planPrune(transaction.reader(), args, { now: transaction.time, retention: policyDefault(retention) });
  for (const { ino, generation } of plan.bodies) forgetBody(transaction, ino, generation, retention);
  return plan;
}

export function planPrune(reader: ReadView, args: PruneArgs, state: PruneState): PruneResult {
  checkPolicy(args);
  const { limit, cursor } = args;
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${PAGE_MAX} bodies, found limit ${limit}`);
  }
  const top = resolveInode(reader, args.node, true);
  const path = splitPath(mustPathOf(reader, top.ino));
  const page = new Page(reader, args, state);
  if (top.type !== 'directory') {
    const before = cursor === undefined ? undefined : parseCursor(cursor).after;
    const last = page.look(top, path, before);
    return last === undefined ? { bodies: page.bodies } : { bodies: page.bodies, cursor: formatCursor([Uint8Array.of(0x2e)], last) };
  }
  const resume = cursor === undefined ? undefined : parseCursor(cursor);
  let visits = 0;
  for (const node of walk(reader, top.ino, [], resume?.names ?? [], resume?.after !== undefined)) {
    visits += 1;
    const inode = node.type === 'file' ? reader.inode(node.ino) : undefined;
    if (inode !== undefined && isFirstName(reader, inode, node.parent, node.names.at(-1) as Uint8Array)) {
      const last = page.look(inode, [...path, ...node.names], visits === 1 ? resume?.after : undefined);
      if (last !== undefined) return { bodies: page.bodies, cursor: formatCursor(node.names, last) };
    }
    if (page.isFull || visits >= VISITS_MAX) return { bodies: page.bodies, cursor: formatCursor(node.names, undefined) };
  }
  return { bodies: page.bodies };
}

/** Bodies and paths that one page shows, so that it fits a frame. */
const PAGE_BYTES_MAX = 512 * 1024;

/** The bodies that may go, of the nodes that were looked at. */
class Page {
  readonly bodies: PrunedBody[] = [];
  #bytes = 0;
  readonly #history: HistoryReader;
  readonly #args: PruneArgs;
  readonly #state: PruneState;
  readonly #coverage: PinCoverage;

  constructor(reader: ReadView, args: PruneArgs, state: PruneState) {
    this.#history = new HistoryReader(reader.view, reader.root);
    this.#args = args;
    this.#state = state;
    this.#coverage = new PinCoverage(this.#history);
  }

  get isFull(): boolean {
    return this.bodies.length >= this.#args.limit || this.#bytes >= PAGE_BYTES_MAX;
  }

  /** Takes the bodies of a file older than `before`, newest first; returns the last one taken when the page is full before the end. */
  look(inode: Inode, path: readonly Uint8Array[], before?: Generation): Generation | undefined {
    const { policy } = policyFor(this.#history, inode, this.#state.retention);
    const keepLast = this.#args.keepLast ?? policy.keepLast;
    const keepMs = this.#args.keepMs ?? policy.keepMs;
    const nowMs = timespecToMs(this.#state.now);
    const newestFirst = [...this.#history.bodyHeads(inode.ino)].reverse().map(({ head }) => head);
    let last: Generation | undefined;
    for (const { generation, retired, newer, body } of superseded(newestFirst, inode.generation, undefined)) {
      if (before !== undefined && generation >= before) continue;
      if (newer < keepLast || retired.ms + keepMs > nowMs) continue;
      if (this.#coverage.covers(inode.ino, generation as number as Version, retired.version)) continue;
      if (this.isFull) return last;
      const at = joinPath(path);
      this.bodies.push({ ino: inode.ino, path: at, generation, ordinal: body.ordinal, bytes: body.size });
      this.#bytes += at.length + 64;
      last = generation;
    }
    return undefined;
  }
}

/** A path below the node and, where a file was left in the middle, a NUL and the generation that came last. */
function formatCursor(names: readonly Uint8Array[], last: Generation | undefined): Uint8Array {
  const path = joinPath(names);
  return last === undefined ? path : Buffer.concat([path, Uint8Array.of(0), Buffer.from(String(last))]);
}

function parseCursor(cursor: Uint8Array): { readonly names: Uint8Array[]; readonly after: Generation | undefined } {
  const nul = cursor.indexOf(0);
  const path = nul < 0 ? cursor : cursor.subarray(0, nul);
  const after = nul < 0 ? undefined : Number(Buffer.from(cursor.subarray(nul + 1)).toString('latin1'));
  const [before, ...names] = splitAtSlashes(path);
  const isPath = before?.length === 0 && names.length > 0 && names.every((name) => name.length > 0);
  if (!isPath || (after !== undefined && !Number.isSafeInteger(after))) {
    throw new NokvError('invalid-argument', 'this is no cursor of an earlier page; begin without one');
  }
  return { names, after: after as Generation | undefined };
}

interface Visited {
  readonly parent: InodeNumber;
  readonly names: readonly Uint8Array[];
  readonly ino: InodeNumber;
  readonly type: InodeType;
}

/** All stored entries below a directory in the order of paths, after the one that `resume` names, or from it on. */
export function* walk(
  reader: ReadView,
  directory: InodeNumber,
  above: readonly Uint8Array[],
  resume: readonly Uint8Array[],
  isInclusive: boolean,
): Generator<Visited> {
  const [first, ...rest] = resume;
  const start = first === undefined ? numberStart(FAMILY.dentry, directory) : dentryKey(directory, first);
  for (const { key, value } of reader.view.range(start, numberEnd(FAMILY.dentry, directory))) {
    const name = copyBytes(key, NAME_AT, key.length);
    const { ino, type } = decodeDentry(value);
    const names = [...above, name];
    const isResumed = first !== undefined && Buffer.compare(name, first) === 0;
    if (!isResumed || (isInclusive && rest.length === 0)) yield { parent: directory, names, ino, type };
    if (type === 'directory') yield* walk(reader, ino, names, isResumed ? rest : [], isInclusive);
  }
}

/** A file with several names is looked at under the first of its links. */
function isFirstName(reader: ReadView, inode: Inode, parent: InodeNumber, name: Uint8Array): boolean {
  if (inode.parent !== 0) return true;
  for (const link of reader.links(inode.ino)) return link.parent === parent && Buffer.compare(link.name, name) === 0;
  return true;
}
