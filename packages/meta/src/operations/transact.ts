/**
 * transact: several mutations as one command. Preconditions are checked against the state before the first operation; each
 * operation then sees what those before it did. One that is refused refuses all: the transaction is dropped with its rows.
 */
import {
  LISTED_OPERATIONS,
  NokvError,
  TRANSACT_BYTES_MAX,
  TRANSACT_MAX,
  isNokvError,
  type ErrorDetails,
  type ListedMutation,
  type ListedResult,
  type Precondition,
  type TransactArgs,
  type TransactResult,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { alreadyExists, describe, notDirectory, notFound, resolveNode } from '../resolve.js';
import type { AnyMutationResult } from '../request-result.js';
import type { Transaction } from '../transaction.js';
import type { Inode } from '../value-inode.js';
import { freshInodesOf } from './fresh-inodes.js';

type Run = (transaction: Transaction, command: MutationCommand) => AnyMutationResult | undefined;
type TransactCommand = Extract<MutationCommand, { operation: 'transact' }>;

/** What one transaction may change: for as long as it takes nobody else is served. Few operations make more than two changes each. */
const CHANGES_MAX = 8192;
const LISTED: ReadonlySet<string> = new Set(LISTED_OPERATIONS);

/** @param run applies one operation as a command of its own. */
export function transact(transaction: Transaction, command: TransactCommand, run: Run): TransactResult {
  const { preconditions = [], operations } = command.args;
  preconditions.forEach((precondition, at) =>
    attempt('precondition', at, `precondition ${at}`, () => checkPrecondition(transaction, precondition)),
  );
  let fresh: number = command.freshInode;
  const results = operations.map(({ operation, args }, index): ListedResult => {
    const one = { ...command, operation, args, freshInode: fresh } as MutationCommand;
    fresh += freshInodesOf(operation, args);
    const result = attempt('index', index, `operation ${index} (${operation})`, () => runBounded(transaction, one, run));
    return { operation, result } as ListedResult;
  });
  return { results };
}

function runBounded(transaction: Transaction, command: MutationCommand, run: Run): AnyMutationResult | undefined {
  const result = run(transaction, command);
  if (transaction.changes.length <= CHANGES_MAX) return result;
  throw new NokvError(
    'too-large',
    `a transaction makes at most ${CHANGES_MAX} changes, this one makes more; make parents first, or split it`,
  );
}

/** Refuses what is not worth a place in the queue. @returns about the bytes that the arguments hold. */
export function checkTransact({ preconditions = [], operations }: TransactArgs, bytesOf: (mutation: ListedMutation) => number): number {
  for (const [what, list] of Object.entries({ preconditions, operations })) {
    if (list.length > TRANSACT_MAX) {
      throw new NokvError('too-large', `a transaction has at most ${TRANSACT_MAX} ${what}, found ${list.length}; split it`);
    }
  }
  let bytes = 0;
  operations.forEach((mutation, index) => {
    if (!LISTED.has(mutation.operation)) {
      throw new NokvError('invalid-argument', `a transaction takes ${LISTED_OPERATIONS.join(', ')}, found ${mutation.operation}`, {
        details: { index },
      });
    }
    bytes += bytesOf(mutation);
  });
  if (bytes > TRANSACT_BYTES_MAX) {
    throw new NokvError(
      'too-large',
      `the arguments of a transaction take at most ${TRANSACT_BYTES_MAX} bytes, found ${bytes}; upload bodies as blocks first`,
    );
  }
  return bytes;
}

/** What is refused inside says where. */
function attempt<Result>(member: string, at: number, where: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    if (!isNokvError(error)) throw error;
    const details: ErrorDetails = { ...error.details, [member]: at };
    throw new NokvError(error.code, `${where}: ${error.message}; nothing of the transaction was applied`, {
      outcome: error.outcome,
      details,
      cause: error,
    });
  }
}

function checkPrecondition(transaction: Transaction, precondition: Precondition): void {
  const { node, exists = true, ino, type, revision, generation, digest, empty } = precondition;
  const inode = find(transaction, precondition);
  if (!exists) {
    if ([ino, type, revision, generation, digest, empty].some((member) => member !== undefined)) {
      throw new NokvError('invalid-argument', `${describe(node)} cannot be absent and have properties; ask for one of the two`);
    }
    if (inode === undefined) return;
    if ('ino' in node) throw new NokvError('exists', `${describe(node)} exists`);
    throw alreadyExists(node);
  }
  if (inode === undefined) throw notFound(node);
  if (ino !== undefined && ino !== inode.ino) throw mismatch('revision-mismatch', node, 'inode', ino, inode.ino);
  if (type !== undefined && type !== inode.type) throw mismatch('type-mismatch', node, 'type', type, inode.type);
  if (revision !== undefined && revision !== inode.revision) {
    throw mismatch('revision-mismatch', node, 'revision', revision, inode.revision);
  }
  if (generation !== undefined && generation !== inode.generation) {
    throw mismatch('generation-mismatch', node, 'generation', generation, inode.generation);
  }
  if (digest !== undefined) {
    const found = inode.generation === 0 ? undefined : transaction.body(inode.ino, inode.generation)?.digest;
    if (found !== digest) throw mismatch('generation-mismatch', node, 'digest', digest, found ?? 'none');
  }
  if (empty !== undefined) checkEmpty(node, inode, empty);
}

/** Undefined where nothing is, also where a directory on the way is missing. */
function find(transaction: Transaction, { node, follow = false }: Precondition): Inode | undefined {
  try {
    return transaction.inode(resolveNode(transaction, node, follow));
  } catch (error) {
    if (isNokvError(error, 'not-found') || isNokvError(error, 'not-directory')) return undefined;
    throw error;
  }
}

function checkEmpty(node: Precondition['node'], inode: Inode, isWanted: boolean): void {
  if (inode.type !== 'directory') throw notDirectory(node);
  if ((inode.children === 0) === isWanted) return;
  throw isWanted
    ? new NokvError('not-empty', `${describe(node)}: expected an empty directory, found ${inode.children} entries`)
    : new NokvError('revision-mismatch', `${describe(node)}: expected a directory with entries, found an empty one`);
}

function mismatch(
  code: 'type-mismatch' | 'revision-mismatch' | 'generation-mismatch',
  node: Precondition['node'],
  what: string,
  expected: string | number,
  found: string | number,
): NokvError {
  return new NokvError(code, `${describe(node)}: expected ${what} ${expected}, found ${found}; look again and decide`, {
    details: { expected, [what]: found },
  });
}
