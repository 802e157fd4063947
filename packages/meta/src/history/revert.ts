/** revert: an earlier body of a file becomes its newest generation, blocks and all. */
import { NokvError, type PublishResult } from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { replaceBody } from '../operations/setattr.js';
import { describe, isDirectory, resolveInode } from '../resolve.js';
import type { Transaction } from '../transaction.js';
import { toAttributes } from '../value-inode.js';

export function revert(transaction: Transaction, { args, retention }: Extract<MutationCommand, { operation: 'revert' }>): PublishResult {
  const { node, generation, ifGeneration } = args;
  const found = resolveInode(transaction, node, true);
  if (found.type === 'directory') throw isDirectory(node);
  if (found.type !== 'file') throw new NokvError('not-regular-file', `${describe(node)} is a ${found.type}; only files have bodies`);
  if (ifGeneration !== undefined && ifGeneration !== found.generation) {
    throw new NokvError(
      'generation-mismatch',
      `${describe(node)}: expected generation ${ifGeneration}, found ${found.generation}; read it again and decide`,
      { details: { expected: ifGeneration, generation: found.generation } },
    );
  }
  const old = transaction.body(found.ino, generation);
  if (old === undefined || old.lost !== undefined) {
    const isYounger = generation > found.generation;
    throw new NokvError(
      isYounger ? 'not-found' : 'retention-ended',
      `${describe(node)} has no generation ${generation}${isYounger ? '' : ' (any more)'}; the current one is ${found.generation}`,
      { details: { generation: found.generation } },
    );
  }
  const inode = transaction.edit(found.ino);
  const { digest, contentType, producer, body } = old;
  replaceBody(transaction, inode, { digest, contentType, producer, body }, retention);
  inode.mtime = transaction.time;
  inode.ctime = transaction.time;
  transaction.change('published', inode, inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name });
  return { attributes: toAttributes(inode), generation: inode.generation, created: false };
}
