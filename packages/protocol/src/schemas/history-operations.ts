/** The operations of history: pins, versions of a file, retention, clones, differences, merges. */
import {
  MERGE_CONFLICTS_LISTED_MAX,
  type HistoryMutationOperations,
  type HistoryReadOperations,
  type InodeNumber,
  type MergeResult,
  type PinId,
  type PinResult,
  type PruneArgs,
  type PruneResult,
  type RollbackResult,
} from '@nokv/types';
import type { Fields, Schema } from '../schema.js';
import { boolean, bytes, int, list, object, optional } from '../schema.js';
import type { AnswerOf, WireMutationResult } from '../wire-operations.js';
import { mutation, read, stream, type OperationDefinition } from './definition.js';
import {
  at,
  diffItem,
  diffSide,
  logRow,
  mergeConflict,
  pinId,
  pinInfo,
  pinKind,
  pinLabels,
  pinName,
  pinRef,
  prunedBody,
  retentionPolicy,
  snapshotTtl,
} from './history-values.js';
import { attributes, count, entryRef, generation, inodeNumber, nodeRef, userId, version } from './values.js';

/** Pins, rows of a log and pruned bodies a page. */
const PAGE_MAX = 1000;
const pageLimit: Schema<number> = int(1, PAGE_MAX);
/** The keys of rows are shorter. */
const cursor: Schema<Uint8Array> = bytes(1, 4096);

const pruneArgs: Fields<PruneArgs> = {
  node: nodeRef,
  keepLast: optional(count),
  keepMs: optional(count),
  cursor: optional(cursor),
  limit: pageLimit,
};
const pruneResult = object<PruneResult>({ bodies: list(prunedBody, PAGE_MAX), cursor: optional(cursor) });
const pinResult = object<PinResult>({ pin: pinInfo });
const created = object<WireMutationResult<'clone'>>({ attributes, created: boolean });

export const historyReadDefinitions: { readonly [Op in keyof HistoryReadOperations]: OperationDefinition<Op> } = {
  pins: read(
    'pins',
    12,
    { kind: optional(pinKind), root: optional(nodeRef), after: optional(pinId), limit: pageLimit },
    object<AnswerOf<'pins'>>({ pins: list(pinInfo, PAGE_MAX), more: boolean }),
  ),
  pin: read('pin', 13, { pin: pinRef }, pinInfo),
  log: read(
    'log',
    14,
    { node: nodeRef, before: optional(generation), limit: pageLimit },
    object<AnswerOf<'log'>>({ ino: inodeNumber, rows: list(logRow, PAGE_MAX), more: boolean }),
  ),
  'retention-get': read(
    'retention-get',
    15,
    { node: nodeRef },
    object<AnswerOf<'retention-get'>>({ policy: retentionPolicy, from: int<InodeNumber>(0) }),
  ),
  'prune-plan': read('prune-plan', 16, pruneArgs, pruneResult),
  'version-at': read('version-at', 17, { at }, object<AnswerOf<'version-at'>>({ version })),
};

export const historyMutationDefinitions: { readonly [Op in keyof HistoryMutationOperations]: OperationDefinition<Op> } = {
  'snapshot-create': mutation(
    'snapshot-create',
    49,
    { node: nodeRef, ttlMs: snapshotTtl, name: optional(pinName), labels: optional(pinLabels) },
    pinResult,
  ),
  'snapshot-renew': mutation('snapshot-renew', 50, { snapshot: pinId, ttlMs: snapshotTtl }, pinResult),
  'snapshot-retire': mutation('snapshot-retire', 51, { snapshot: pinId }, pinResult),
  'tag-set': mutation(
    'tag-set',
    52,
    { name: pinName, node: nodeRef, at: optional(at), ifPin: optional(int<PinId | 0>(0)), labels: optional(pinLabels) },
    pinResult,
  ),
  'tag-remove': mutation('tag-remove', 53, { name: pinName, ifPin: optional(pinId) }, pinResult),
  clone: mutation(
    'clone',
    54,
    { uid: userId, gid: userId, from: nodeRef, at: optional(at), to: entryRef, parents: optional(boolean) },
    created,
  ),
  rollback: mutation(
    'rollback',
    55,
    { node: nodeRef, at, undoTtlMs: snapshotTtl },
    object<RollbackResult>({ attributes, undo: pinInfo, restored: version }),
  ),
  revert: mutation(
    'revert',
    56,
    { node: nodeRef, generation, ifGeneration: optional(generation) },
    object<WireMutationResult<'revert'>>({ attributes, generation, created: boolean }),
  ),
  undelete: mutation('undelete', 57, { uid: userId, gid: userId, entry: entryRef, at: optional(at), to: optional(entryRef) }, created),
  prune: mutation('prune', 58, pruneArgs, pruneResult),
  'retention-set': mutation(
    'retention-set',
    59,
    { node: nodeRef, policy: optional(retentionPolicy) },
    object<WireMutationResult<'retention-set'>>({ ino: inodeNumber }),
  ),
  merge: mutation(
    'merge',
    60,
    { fork: nodeRef, into: optional(nodeRef), dryRun: optional(boolean) },
    object<MergeResult>({
      applied: boolean,
      changes: count,
      conflicts: list(mergeConflict, MERGE_CONFLICTS_LISTED_MAX),
      conflictCount: count,
    }),
  ),
};

export const diffDefinition: OperationDefinition<'diff'> = stream('diff', 129, { a: diffSide, b: diffSide }, diffItem);
