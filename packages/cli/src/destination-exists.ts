/** What is in the way of something that was to be created, told with its generation and what to do. */
import type { NokvClient } from '@nokv/client';
import { NokvError, isNokvError } from '@nokv/types';
import { showPath } from './remote-path.js';

/**
 * Does `create`; when something is there, asks what it is and fails with `exists` in words that name it.
 * @param advice given the generation of a file that is there.
 */
export async function orTellWhatExists<Result>(
  client: NokvClient,
  path: Uint8Array,
  create: () => Promise<Result>,
  advice: (generation: number | undefined) => string,
): Promise<Result> {
  try {
    return await create();
  } catch (error) {
    if (!isNokvError(error, 'exists')) throw error;
    const text = showPath(path);
    const card = await client.stat(path, { follow: false }).catch(() => undefined);
    const generation = card !== undefined && card.generation > 0 ? card.generation : undefined;
    const at = generation === undefined ? '' : ` (generation ${generation})`;
    const details = { path: text, ...(generation === undefined ? {} : { generation }) };
    throw new NokvError('exists', `${text}: exists${at}; use ${advice(generation)}`, { cause: error, details });
  }
}
