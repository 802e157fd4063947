/**
 * prune: forgets superseded bodies at and below a node before their time. What may go is decided by one function, for the plan that
 * people look at and for the command alike; a page of either does bounded work and says where to go on.
 */
import {
  NokvError,
  joinPath,
  splitPath,
  timespecToMs,
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
import { checkPolicy, policyFor } from './retention.js';
import { policyDefault, superseded } from './superseded.js';

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
    page.look(top, path);
    return { bodies: page.bodies };
  }
  let visits = 0;
  const resume = cursor === undefined ? [] : splitPath(cursor);
  for (const node of walk(reader, top.ino, [], resume)) {
    visits += 1;
    const inode = node.type === 'file' ? reader.inode(node.ino) : undefined;
    if (inode !== undefined && isFirstName(reader, inode, node.parent, node.names.at(-1) as Uint8Array)) {
      page.look(inode, [...path, ...node.names]);
    }
    if (page.bodies.length >= limit || visits >= VISITS_MAX) return { bodies: page.bodies, cursor: joinPath(node.names) };
  }
  return { bodies: page.bodies };
}

/** The bodies that may go, of the nodes that were looked at. A file's bodies are all on one page, which may so pass the limit. */
class Page {
  readonly bodies: PrunedBody[] = [];
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

  look(inode: Inode, path: readonly Uint8Array[]): void {
    const { policy } = policyFor(this.#history, inode, this.#state.retention);
    const keepLast = this.#args.keepLast ?? policy.keepLast;
    const keepMs = this.#args.keepMs ?? policy.keepMs;
    const nowMs = timespecToMs(this.#state.now);
    const newestFirst = [...this.#history.bodyHeads(inode.ino)].reverse().map(({ head }) => head);
    for (const { generation, retired, newer, body } of superseded(newestFirst, inode.generation, undefined)) {
      if (newer < keepLast || retired.ms + keepMs > nowMs) continue;
      if (this.#coverage.covers(inode.ino, generation as number as Version, retired.version)) continue;
      this.bodies.push({ ino: inode.ino, path: joinPath(path), generation, ordinal: body.ordinal, bytes: body.size });
    }
  }
}

interface Visited {
  readonly parent: InodeNumber;
  readonly names: readonly Uint8Array[];
  readonly ino: InodeNumber;
  readonly type: InodeType;
}

/** All stored entries below a directory in the order of paths, after the one that `resume` names. */
function* walk(reader: ReadView, directory: InodeNumber, above: readonly Uint8Array[], resume: readonly Uint8Array[]): Generator<Visited> {
  const [first, ...rest] = resume;
  const start = first === undefined ? numberStart(FAMILY.dentry, directory) : dentryKey(directory, first);
  for (const { key, value } of reader.view.range(start, numberEnd(FAMILY.dentry, directory))) {
    const name = copyBytes(key, NAME_AT, key.length);
    const { ino, type } = decodeDentry(value);
    const names = [...above, name];
    const isResumed = first !== undefined && Buffer.compare(name, first) === 0;
    if (!isResumed) yield { parent: directory, names, ino, type };
    if (type === 'directory') yield* walk(reader, ino, names, isResumed ? rest : []);
  }
}

/** A file with several names is looked at under the first of its links. */
function isFirstName(reader: ReadView, inode: Inode, parent: InodeNumber, name: Uint8Array): boolean {
  if (inode.parent !== 0) return true;
  for (const link of reader.links(inode.ino)) return link.parent === parent && Buffer.compare(link.name, name) === 0;
  return true;
}
