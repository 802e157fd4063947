/**
 * Snapshots and tags: what is at a node, held as it is. Making one costs the same whatever lies below. A snapshot lives by a lease
 * that only ever moves forward, a tag until it is moved or removed; one that ended keeps its row for a while, so that it can be told
 * from one that never was.
 */
import {
  NokvError,
  PINS_MAX,
  PIN_LABELS_MAX,
  SNAPSHOT_TTL_MS_MAX,
  compareTimespec,
  joinPath,
  timespecToMs,
  type InodeNumber,
  type NodeRef,
  type PinId,
  type PinInfo,
  type PinLabel,
  type PinResult,
  type PinsResult,
  type ReadOperations,
  type Timespec,
  type Version,
} from '@nokv/types';
import type { InternalCommand, MutationCommand } from '../command.js';
import { after } from '../operations/upload.js';
import type { ReadView } from '../read-view.js';
import { notFound, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import type { ForkRow, PinRow } from '../value-pin.js';
import { HistoryReader } from './history-view.js';
import type { VersionedAt } from './moment.js';
import { mustPathOf, namesOf } from './path-of.js';

type CommandOf<Op extends MutationCommand['operation']> = Extract<MutationCommand, { operation: Op }>;

const PAGE_MAX = 1000;
const PAGE_BYTES_MAX = 512 * 1024;
const PIN_BYTES = 256;
const TEXT_BYTES_MAX = 255;

/* ------------------------------------------------------------------- reads */

export function listPins(reader: ReadView, { kind, root, after: last, limit }: ReadOperations['pins']['args']): PinsResult {
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${PAGE_MAX} pins, found limit ${limit}`);
  }
  const history = new HistoryReader(reader.view, reader.root);
  const ino = root === undefined ? undefined : resolveInode(reader, root, true).ino;
  const pins: PinInfo[] = [];
  let bytes = 0;
  for (const info of kind === 'fork' ? forkInfos(reader, history, last) : pinInfos(history, last)) {
    if ((kind !== undefined && info.kind !== kind) || (ino !== undefined && info.root !== ino)) continue;
    if (pins.length === limit || bytes > PAGE_BYTES_MAX) return { pins, more: true };
    pins.push(info);
    bytes += PIN_BYTES + info.path.length + info.labels.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  }
  return { pins, more: false };
}

function* pinInfos(history: HistoryReader, last: PinId | undefined): Generator<PinInfo> {
  for (const { id, row } of history.pins(last)) if (row.state === 'live') yield pinInfo(id, row);
}

/** A fork is known by the inode number of its root. */
function* forkInfos(reader: ReadView, history: HistoryReader, last: PinId | undefined): Generator<PinInfo> {
  for (const { root, row } of history.forks(last as InodeNumber | undefined)) {
    if (row.keepsBase && !row.isRootGone) yield forkInfo(reader, root, row);
  }
}

function forkInfo(reader: ReadView, root: InodeNumber, { version, created, actor }: ForkRow): PinInfo {
  const names = namesOf(reader, root);
  return {
    id: root as number as PinId,
    kind: 'fork',
    root,
    path: names === undefined ? new Uint8Array(0) : joinPath(names),
    version,
    createdAt: created,
    labels: [],
    actor,
  };
}

export function pinInfo(id: PinId, { kind, root, path, version, created, expires, name, labels, actor }: PinRow): PinInfo {
  return {
    id,
    kind,
    root,
    path,
    version,
    createdAt: created,
    ...(expires === undefined ? {} : { expiresAt: expires }),
    ...(name === undefined ? {} : { name }),
    labels,
    actor,
  };
}

/* --------------------------------------------------------------- snapshots */

export function createSnapshot(transaction: Transaction, { args }: CommandOf<'snapshot-create'>): PinResult {
  const { node, ttlMs, name, labels } = args;
  checkTtl(ttlMs);
  checkText(name, 'the name of a snapshot');
  const inode = resolveInode(transaction, node, true);
  const pin = pinNow(transaction, inode, { ttlMs, name, labels: checkLabels(labels), version: transaction.version });
  transaction.change('snapshot', inode, placeOf(inode));
  return { pin };
}

/** Holds what is at an inode as it is at `version`, under the id of this command. */
export function pinNow(
  transaction: Transaction,
  inode: Inode,
  {
    ttlMs,
    name,
    labels,
    version,
  }: { readonly ttlMs: number; readonly name?: string | undefined; readonly labels: readonly PinLabel[]; readonly version: Version },
): PinInfo {
  const path = mustPathOf(transaction, inode.ino);
  const expires = after(transaction.time, ttlMs);
  return enter(transaction, { kind: 'snapshot', root: inode.ino, path, version, expires, name, labels });
}

export function renewSnapshot(transaction: Transaction, { args }: CommandOf<'snapshot-renew'>): PinResult {
  checkTtl(args.ttlMs);
  const row = liveSnapshot(transaction, args.snapshot);
  const renewed = after(transaction.time, args.ttlMs);
  const expires = row.expires !== undefined && compareTimespec(renewed, row.expires) < 0 ? row.expires : renewed;
  transaction.putPin(args.snapshot, { ...row, expires });
  return { pin: pinInfo(args.snapshot, { ...row, expires }) };
}

export function retireSnapshot(transaction: Transaction, { args }: CommandOf<'snapshot-retire'>): PinResult {
  const row = liveSnapshot(transaction, args.snapshot);
  transaction.putPin(args.snapshot, ended(row, transaction.time));
  return { pin: pinInfo(args.snapshot, row) };
}

function liveSnapshot(transaction: Transaction, snapshot: PinId): PinRow {
  const { row } = transaction.livePin({ snapshot });
  if (row.kind === 'tag') {
    throw new NokvError('invalid-argument', `pin ${snapshot} is the tag "${row.name}"; tags have no lease: move or remove it by its name`);
  }
  return row;
}

/** Ends snapshots whose lease is over; forgets those that ended long enough ago. */
export function endPins(transaction: Transaction, { args }: Extract<InternalCommand, { operation: 'end-pins' }>): void {
  for (const id of args.ids) {
    const row = transaction.pin(id);
    if (row === undefined) continue;
    if (row.state === 'ended') {
      if (row.endedMs <= args.endedBeforeMs) transaction.putPin(id, undefined);
    } else if (row.expires !== undefined && compareTimespec(row.expires, transaction.time) <= 0) {
      transaction.putPin(id, ended(row, transaction.time));
    }
  }
}

/* -------------------------------------------------------------------- tags */

export function setTag(transaction: Transaction, { args }: CommandOf<'tag-set'>): PinResult {
  const { name, node, at, ifPin } = args;
  checkTagName(name);
  const labels = checkLabels(args.labels);
  const before = transaction.tag(name);
  checkExpected(name, before, ifPin);
  const target = pinned(transaction, node, at as VersionedAt | undefined);
  if (before !== undefined) dropTagPin(transaction, before);
  const pin = enter(transaction, { kind: 'tag', ...target, expires: undefined, name, labels });
  transaction.putTag(name, pin.id);
  const inode = transaction.inode(target.root);
  if (inode !== undefined) transaction.change('snapshot', inode, placeOf(inode));
  return { pin };
}

export function removeTag(transaction: Transaction, { args }: CommandOf<'tag-remove'>): PinResult {
  const { name, ifPin } = args;
  const before = transaction.tag(name);
  if (before === undefined) throw noTag(name);
  checkExpected(name, before, ifPin);
  const row = dropTagPin(transaction, before);
  transaction.putTag(name, undefined);
  return { pin: pinInfo(before, row) };
}

function dropTagPin(transaction: Transaction, id: PinId): PinRow {
  const row = transaction.pin(id);
  if (row === undefined) throw new NokvError('corrupt', `a tag names pin ${id}, which is missing; run a check of the shard`);
  transaction.putPin(id, ended(row, transaction.time));
  return row;
}

/** What a tag is to hold: a node now, or what a moment shows of it. */
function pinned(
  transaction: Transaction,
  node: NodeRef,
  at: VersionedAt | undefined,
): { readonly root: InodeNumber; readonly path: Uint8Array; readonly version: Version } {
  if (at === undefined) {
    const { ino } = resolveInode(transaction, node, true);
    return { root: ino, path: mustPathOf(transaction, ino), version: transaction.version };
  }
  const { version, pinned: bound } = transaction.moment(at);
  const then = transaction.past(version, bound);
  const { ino } = resolveInode(then, node, true);
  if (!then.shows(ino)) throw notFound(node, 'it lies outside what the snapshot shows');
  return { root: ino, path: mustPathOf(then, ino), version };
}

function checkExpected(name: string, found: PinId | undefined, expected: PinId | 0 | undefined): void {
  if (expected === undefined || expected === (found ?? 0)) return;
  if (expected === 0) throw new NokvError('exists', `the tag "${name}" exists already (pin ${found})`, { details: { pin: found ?? 0 } });
  throw new NokvError(
    'tag-mismatch',
    `the tag "${name}": expected pin ${expected}, found ${found ?? 'no such tag'}; look again and decide`,
    {
      details: { expected, pin: found ?? 0 },
    },
  );
}

function noTag(name: string): NokvError {
  return new NokvError('not-found', `there is no tag "${name}"; list those that are there`, { details: { tag: name } });
}

/* ------------------------------------------------------------------ shared */

function enter(transaction: Transaction, pin: Omit<PinRow, 'state' | 'created' | 'endedMs' | 'actor'>): PinInfo {
  if (transaction.progress.pins >= PINS_MAX) {
    throw new NokvError('quota-exceeded', `the shard has ${PINS_MAX} snapshots and tags, which is the most; retire some`);
  }
  const id = transaction.version as number as PinId;
  const row: PinRow = { ...pin, state: 'live', created: transaction.time, endedMs: 0, actor: transaction.actor };
  transaction.putPin(id, row);
  return pinInfo(id, row);
}

function ended(row: PinRow, time: Timespec): PinRow {
  return { ...row, state: 'ended', endedMs: Math.max(0, Math.floor(timespecToMs(time))) };
}

function placeOf(inode: Inode): { readonly parent: InodeNumber; readonly name: Uint8Array } | undefined {
  return inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name };
}

function checkLabels(labels: readonly PinLabel[] | undefined): readonly PinLabel[] {
  if (labels === undefined) return [];
  if (labels.length > PIN_LABELS_MAX) throw new NokvError('invalid-argument', `at most ${PIN_LABELS_MAX} labels, found ${labels.length}`);
  const sorted = [...labels].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  for (let i = 0; i < sorted.length; i++) {
    const { key, value } = sorted[i] as PinLabel;
    checkText(key, 'the key of a label');
    if (key === '') throw new NokvError('invalid-argument', 'the key of a label is not empty');
    if (Buffer.byteLength(value) > TEXT_BYTES_MAX) throw tooLong('the value of a label', value);
    if (sorted[i - 1]?.key === key) throw new NokvError('invalid-argument', `the label "${key}" is given twice`);
  }
  return sorted;
}

function checkText(text: string | undefined, what: string): void {
  if (text !== undefined && Buffer.byteLength(text) > TEXT_BYTES_MAX) throw tooLong(what, text);
}

function tooLong(what: string, text: string): NokvError {
  return new NokvError('invalid-argument', `${what} has at most ${TEXT_BYTES_MAX} bytes, found ${Buffer.byteLength(text)}`);
}

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const NOT_IN_TAG = /[/@\u0000-\u001f\u007f]/;

function checkTagName(name: string): void {
  checkText(name, 'the name of a tag');
  if (name === '' || NOT_IN_TAG.test(name)) {
    throw new NokvError(
      'invalid-name',
      `a tag is named by 1 to ${TEXT_BYTES_MAX} bytes without "/", "@" and control characters, found ${JSON.stringify(name)}`,
    );
  }
}

function checkTtl(ttlMs: number): void {
  if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > SNAPSHOT_TTL_MS_MAX) {
    throw new NokvError('invalid-argument', `the lease of a snapshot is 1 to ${SNAPSHOT_TTL_MS_MAX} whole ms, found ${ttlMs}`);
  }
}
