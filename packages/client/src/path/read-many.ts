/** Many nodes in few requests: their cards, and the bodies of small files. */
import {
  NokvError,
  READ_MANY_BYTES_MAX,
  READ_MANY_MAX,
  bodySize,
  isNokvError,
  toNokvError,
  type NodeCard,
  type OpenReadArgs,
  type ReadPlan,
  type Settled,
} from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { ReadFile, ReadManyOptions } from '../lists.js';
import type { CallOptions } from '../metadata-client.js';
import type { PathLike } from '../nokv-client.js';
import type { AtOption } from '../history.js';
import { pathBytes } from './arguments.js';
import { fixedMoment } from './moment.js';

const FILE_BYTES_MAX_DEFAULT = 1024 * 1024;
/** Bodies in blocks that are fetched at once. */
const FETCHES_AT_ONCE = 16;

/** One request for each 256 paths, asked one after the other. */
export async function statMany(
  context: ClientContext,
  paths: Iterable<PathLike>,
  options: CallOptions & AtOption & { readonly follow?: boolean },
): Promise<readonly Settled<NodeCard>[]> {
  const nodes = nodesOf(paths);
  const cards: Settled<NodeCard>[] = [];
  const { follow } = options;
  const at = await fixedMoment(context.metadata, options.at, options);
  for (let from = 0; from < nodes.length; from += READ_MANY_MAX) {
    const args = {
      nodes: nodes.slice(from, from + READ_MANY_MAX),
      ...(follow === undefined ? {} : { follow }),
      ...(at === undefined ? {} : { at }),
    };
    cards.push(...(await context.metadata.read('stat-many', args, options)).answers);
  }
  return cards;
}

/** Plans and small bodies come 256 at a time; bodies in blocks are then fetched, some at once. */
export async function readMany(
  context: ClientContext,
  paths: Iterable<PathLike>,
  options: ReadManyOptions,
): Promise<readonly Settled<ReadFile>[]> {
  const { maxBytes = FILE_BYTES_MAX_DEFAULT } = options;
  const nodes = nodesOf(paths);
  const at = await fixedMoment(context.metadata, options.at, options);
  const moment = at === undefined ? {} : { at };
  const files: Settled<ReadFile>[] = [];
  // Ends: every round answers at least the first of those that are left.
  while (files.length < nodes.length) {
    const asked = nodes.slice(files.length, files.length + READ_MANY_MAX);
    const { answers } = await context.metadata.read('read-many', { nodes: asked, bytesMax: READ_MANY_BYTES_MAX, ...moment }, options);
    const full = answers.findIndex((answer) => !answer.ok && isNokvError(answer.error, 'too-large'));
    const plans =
      full < 0
        ? answers
        : full === 0
          ? [await openAlone(context, { node: asked[0] as Asked, ...moment }, options)]
          : answers.slice(0, full);
    for (let from = 0; from < plans.length; from += FETCHES_AT_ONCE) {
      const some = plans.slice(from, from + FETCHES_AT_ONCE);
      files.push(...(await Promise.all(some.map((plan) => fetch(context, plan, maxBytes, options)))));
    }
  }
  return files;
}

type Asked = { readonly path: Uint8Array };

/** A plan that no answer of many holds. */
async function openAlone(context: ClientContext, args: OpenReadArgs, options: CallOptions): Promise<Settled<ReadPlan>> {
  try {
    return { ok: true, value: await context.metadata.read('open-read', args, options) };
  } catch (error) {
    return { ok: false, error: toNokvError(error) };
  }
}

async function fetch(context: ClientContext, plan: Settled<ReadPlan>, maxBytes: number, options: CallOptions): Promise<Settled<ReadFile>> {
  if (!plan.ok) return plan;
  const { attributes, generation, digest, contentType, body } = plan.value;
  const size = bodySize(body);
  try {
    if (size > maxBytes)
      throw new NokvError('too-large', `expected a body of at most ${maxBytes} bytes, found ${size}; stream it or read ranges`);
    const bytes = body.kind === 'inline' ? body.bytes : await handleOf(context, plan.value).bytes({ ...options, maxBytes });
    const described = { ...(digest === undefined ? {} : { digest }), ...(contentType === undefined ? {} : { contentType }) };
    return { ok: true, value: { attributes, generation, ...described, bytes } };
  } catch (error) {
    return { ok: false, error: toNokvError(error) };
  }
}

function nodesOf(paths: Iterable<PathLike>): Asked[] {
  return Array.from(paths, (path) => ({ path: pathBytes(path) }));
}
