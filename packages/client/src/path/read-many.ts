/** Many nodes in few requests: their cards, and the bodies of small files. */
import { NokvError, READ_MANY_MAX, bodySize, formatName, type NodeCard, type ReadPlan, type Settled } from '@nokv/types';
import { boundedBy, reasonOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { ReadFile, ReadManyOptions } from '../lists.js';
import type { CallOptions } from '../metadata-client.js';
import type { PathLike } from '../nokv-client.js';
import type { AtOption } from '../history.js';
import { pathBytes } from './arguments.js';
import { fixedMoment } from './moment.js';
import { readPlans } from './read-plans.js';

const FILE_BYTES_MAX_DEFAULT = 1024 * 1024;

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

/** Plans and small bodies come 256 at a time; bodies in blocks are then fetched together. */
export async function readMany(
  context: ClientContext,
  paths: Iterable<PathLike>,
  options: ReadManyOptions,
): Promise<readonly Settled<ReadFile>[]> {
  const { maxBytes = FILE_BYTES_MAX_DEFAULT } = options;
  const nodes = nodesOf(paths);
  const at = await fixedMoment(context.metadata, options.at, options);
  const files: Settled<ReadFile>[] = [];
  const wanted = nodes.map((node) => ({ node }));
  for await (const plans of readPlans(context.metadata, wanted, at, options)) {
    const transfer = boundedBy(context, options);
    try {
      files.push(...(await fetchWhole(context, plans, { maxBytes, names: nodes.slice(files.length), signal: transfer.signal })));
    } catch (error) {
      throw reasonOf(transfer.signal, error);
    } finally {
      transfer.stop();
    }
  }
  return files;
}

interface FetchOptions {
  readonly maxBytes: number;
  readonly names: readonly Asked[];
  readonly signal: AbortSignal | undefined;
}

/** Bodies that lie in one block, as packed ones do, come with few gets. */
async function fetchWhole(
  context: ClientContext,
  plans: readonly Settled<ReadPlan>[],
  { maxBytes, names, signal }: FetchOptions,
): Promise<Settled<ReadFile>[]> {
  const checked = plans.map((plan) => (plan.ok ? checkSize(plan.value, maxBytes) : plan));
  const ranges = checked.flatMap((plan, index) => {
    if (!plan.ok || plan.value.body.kind === 'inline') return [];
    const { body } = plan.value;
    return [{ index, body, offset: 0, length: bodySize(body), path: formatName(names[index]?.path ?? new Uint8Array()) }];
  });
  const found = await context.reader.readRanges(ranges, { signal });
  const bytesOf = new Map(ranges.map(({ index }, at) => [index, found[at]]));
  return checked.map((plan, index) => {
    if (!plan.ok) return plan;
    const { attributes, generation, digest, contentType, body } = plan.value;
    const bytes = bytesOf.get(index);
    if (bytes?.ok === false) return bytes;
    const described = { ...(digest === undefined ? {} : { digest }), ...(contentType === undefined ? {} : { contentType }) };
    const shown = body.kind === 'inline' ? body.bytes : (bytes?.value ?? new Uint8Array());
    return { ok: true, value: { attributes, generation, ...described, bytes: shown } };
  });
}

function checkSize(plan: ReadPlan, maxBytes: number): Settled<ReadPlan> {
  const size = bodySize(plan.body);
  if (size <= maxBytes) return { ok: true, value: plan };
  const error = new NokvError('too-large', `expected a body of at most ${maxBytes} bytes, found ${size}; stream it or read ranges`);
  return { ok: false, error };
}

type Asked = { readonly path: Uint8Array };

function nodesOf(paths: Iterable<PathLike>): Asked[] {
  return Array.from(paths, (path) => ({ path: pathBytes(path) }));
}
