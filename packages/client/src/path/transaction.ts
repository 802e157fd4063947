/** {@link Transaction}: mutations that take effect together. */
import { isNokvError, type ListedMutation, type Precondition } from '@nokv/types';
import type { Requirement, Transaction, TransactionOutcome } from '../lists.js';
import type { MutationOptions, PathLike } from '../nokv-client.js';
import { defined, expectedGeneration, pathBytes } from './arguments.js';
import { PathMutationList } from './mutation-list.js';
import type { ClientContext } from '../client-context.js';

export class PathTransaction extends PathMutationList implements Transaction {
  readonly #preconditions: Precondition[] = [];

  require(path: PathLike, requirement: Requirement = {}): this {
    const { generation, ...rest } = requirement;
    const asked = defined({ ...rest, generation: expectedGeneration(generation) });
    this.#preconditions.push({ node: { path: pathBytes(path) }, ...asked });
    return this;
  }

  async commit(options: Omit<MutationOptions, 'owner'> = {}): Promise<TransactionOutcome> {
    const { mutations, uploads } = await this.prepare(options);
    try {
      return await transact(this.context, mutations, this.#preconditions, options);
    } catch (error) {
      if (isNokvError(error) && error.outcome === 'not-applied') await this.giveUp(uploads);
      throw error;
    }
  }
}

export async function transact(
  context: ClientContext,
  operations: readonly ListedMutation[],
  preconditions: readonly Precondition[],
  options: Omit<MutationOptions, 'owner'>,
): Promise<TransactionOutcome> {
  const requestId = options.requestId ?? context.requestIds.draw();
  const args = { operations, ...(preconditions.length === 0 ? {} : { preconditions }) };
  const { version, result } = await context.metadata.mutate('transact', args, { ...options, requestId });
  return { version, requestId, results: result.results };
}
