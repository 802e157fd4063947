/**
 * Several operations in one call: reads of many nodes, batches of independent mutations with a result each, and the
 * transaction, whose mutations take effect together or not at all.
 */
import type { InodeType, NodeCard } from './attributes.js';
import type { NokvError } from './errors.js';
import type { At } from './history.js';
import type { Generation, InodeNumber, RequestId, Version } from './ids.js';
import type { MutationOperations, NodeRef, ReadPlan } from './operations.js';

/** What became of one item: it does not touch the others. */
export type Settled<Value> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: NokvError };

/** Items of one read of many nodes. */
export const READ_MANY_MAX = 256;

export interface StatManyArgs {
  readonly nodes: readonly NodeRef[];
  /** Follow symlinks in last components (default true). */
  readonly follow?: boolean;
  /** As they were at this moment; absent: now. */
  readonly at?: At;
}

export interface StatManyResult {
  /** In the order of the nodes. */
  readonly answers: readonly Settled<NodeCard>[];
}

export interface ReadManyArgs {
  readonly nodes: readonly NodeRef[];
  /** Of the body of each node, as in `open-read`; 0: the current one. As many as nodes; absent: all current. */
  readonly generations?: readonly Generation[];
  /** The bodies and plans of the answer take about this much at most; those beyond it are refused with `too-large`. */
  readonly bytesMax: number;
  /** As they were at this moment; absent: now. */
  readonly at?: At;
}

/** Well below a frame. */
export const READ_MANY_BYTES_MAX = 3 * 1024 * 1024;

export interface ReadManyResult {
  readonly answers: readonly Settled<ReadPlan>[];
}

/** Mutations that may stand in a batch or in a transaction. */
export const LISTED_OPERATIONS = [
  'mkdir',
  'create',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'remove-tree',
  'rename',
  'setattr',
  'xattr-set',
  'xattr-remove',
  'publish',
  'publish-tree',
] as const;

export type ListedOperation = (typeof LISTED_OPERATIONS)[number];

/** A mutation with its arguments, as an item of a list. */
export type ListedMutation = {
  readonly [Op in ListedOperation]: { readonly operation: Op; readonly args: MutationOperations[Op]['args'] };
}[ListedOperation];

export type ListedResult = {
  readonly [Op in ListedOperation]: { readonly operation: Op; readonly result: MutationOperations[Op]['result'] };
}[ListedOperation];

/* ------------------------------------------------------------------- batch */

export const BATCH_MAX = 4096;

/** A mutation of a batch: it commits alone, under a request id of its own. */
export type BatchItem = ListedMutation & {
  /** Absent: made from the id of the batch and the place in the list (`batchItemIds`). */
  readonly requestId?: RequestId;
};

export type BatchAnswer = Settled<ListedResult & { readonly version: Version }>;

/* ------------------------------------------------------------- transaction */

export const TRANSACT_MAX = 1000;
/** Arguments of one transaction, bodies and attributes included. */
export const TRANSACT_BYTES_MAX = 4 * 1024 * 1024;

/** What must hold before the first operation of a transaction; every member that is given must. */
export interface Precondition {
  readonly node: NodeRef;
  /** Look through a symlink in the last component (default false). */
  readonly follow?: boolean;
  /** Default true; false: nothing may be there, and nothing else may be asked. */
  readonly exists?: boolean;
  readonly ino?: InodeNumber;
  readonly type?: InodeType;
  readonly revision?: number;
  readonly generation?: Generation;
  /** Of the current body. */
  readonly digest?: string;
  /** A directory without entries. */
  readonly empty?: boolean;
}

/**
 * All of it or nothing, under one version. Operations run in order and see what those before them did. A refusal names the
 * place of what was refused: `details.index` of an operation, `details.precondition` of a precondition.
 */
export interface TransactArgs {
  readonly preconditions?: readonly Precondition[];
  readonly operations: readonly ListedMutation[];
}

export interface TransactResult {
  /** In the order of the operations. */
  readonly results: readonly ListedResult[];
}
