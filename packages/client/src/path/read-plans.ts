/** Plans of many bodies in few requests: 256 at a time, fewer where their bodies and plans fill an answer. */
import {
  READ_MANY_BYTES_MAX,
  READ_MANY_MAX,
  generation,
  isNokvError,
  toNokvError,
  type At,
  type Generation,
  type NodeRef,
  type OpenReadArgs,
  type ReadPlan,
  type Settled,
} from '@nokv/types';
import type { CallOptions, MetadataClient } from '../metadata-client.js';

export interface Wanted {
  readonly node: NodeRef;
  /** Absent: the current body. */
  readonly generation?: Generation | undefined;
}

/** In the order of `wanted`, a list of answers for each request. */
export async function* readPlans(
  metadata: MetadataClient,
  wanted: readonly Wanted[],
  at: At | undefined,
  options: CallOptions,
): AsyncGenerator<readonly Settled<ReadPlan>[]> {
  const moment = at === undefined ? {} : { at };
  let done = 0;
  // Ends: every round answers at least the first of those that are left.
  while (done < wanted.length) {
    const asked = wanted.slice(done, done + READ_MANY_MAX);
    const nodes = asked.map(({ node }) => node);
    const isPinned = asked.some((one) => one.generation !== undefined);
    const generations = isPinned ? { generations: asked.map((one) => one.generation ?? generation(0)) } : {};
    const { answers } = await metadata.read('read-many', { nodes, bytesMax: READ_MANY_BYTES_MAX, ...moment, ...generations }, options);
    const full = answers.findIndex((answer) => !answer.ok && isNokvError(answer.error, 'too-large'));
    const plans =
      full < 0 ? answers : full === 0 ? [await openAlone(metadata, argumentsOf(asked[0], moment), options)] : answers.slice(0, full);
    yield plans;
    done += plans.length;
  }
}

function argumentsOf(one: Wanted | undefined, moment: Pick<OpenReadArgs, 'at'>): OpenReadArgs {
  const { node, generation: wanted } = one as Wanted;
  return { node, ...moment, ...(wanted === undefined ? {} : { generation: wanted }) };
}

/** A plan that no answer of many holds. */
async function openAlone(metadata: MetadataClient, args: OpenReadArgs, options: CallOptions): Promise<Settled<ReadPlan>> {
  try {
    return { ok: true, value: await metadata.read('open-read', args, options) };
  } catch (error) {
    return { ok: false, error: toNokvError(error) };
  }
}
