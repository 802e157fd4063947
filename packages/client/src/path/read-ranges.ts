/** Many ranges of many files: a plan for each file in few requests, then each piece of a block once. */
import { NokvError, bodySize, formatName, generation, type Generation, type ReadPlan, type Settled } from '@nokv/types';
import { boundedBy, checkRange, reasonOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { RangeRead, RangeRequest, ReadRangesOptions } from '../lists.js';
import { pathBytes } from './arguments.js';
import { fixedMoment } from './moment.js';
import { readPlans } from './read-plans.js';

const BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;
const RANGES_MAX = 1_000_000;

interface Asked {
  readonly name: string;
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** Everything is checked before the first request. */
export async function readRanges(
  context: ClientContext,
  requests: Iterable<RangeRequest>,
  options: ReadRangesOptions,
): Promise<readonly Settled<RangeRead>[]> {
  const wanted = new Map<string, { readonly node: { readonly path: Uint8Array }; readonly generation: Generation | undefined }>();
  const asked = Array.from(requests, (request): Asked => {
    const { offset, length } = request;
    checkRange(offset, length);
    const path = pathBytes(request.path);
    const pinned = request.generation === undefined ? undefined : generation(request.generation);
    const name = formatName(path);
    const key = `${pinned ?? ''}:${name}`;
    if (!wanted.has(key)) wanted.set(key, { node: { path }, generation: pinned });
    return { name, key, offset, length };
  });
  checkTotal(asked, options.maxBytes ?? BYTES_MAX_DEFAULT);
  const plans = await plansOf(context, wanted, options);
  const ranges = asked.flatMap(({ name, key, offset, length }, index) => {
    const plan = plans.get(key);
    if (plan?.ok !== true || offset > bodySize(plan.value.body)) return [];
    return [{ index, body: plan.value.body, offset, length, path: name }];
  });
  const transfer = boundedBy(context, options);
  try {
    const found = await context.reader.readRanges(ranges, { signal: transfer.signal });
    const bytesOf = new Map(ranges.map(({ index }, at) => [index, found[at]]));
    return asked.map((one, index) => answer(one, plans.get(one.key), bytesOf.get(index)));
  } catch (error) {
    throw reasonOf(transfer.signal, error);
  } finally {
    transfer.stop();
  }
}

async function plansOf(
  context: ClientContext,
  wanted: ReadonlyMap<string, { readonly node: { readonly path: Uint8Array }; readonly generation: Generation | undefined }>,
  options: ReadRangesOptions,
): Promise<ReadonlyMap<string, Settled<ReadPlan>>> {
  const at = await fixedMoment(context.metadata, options.at, options);
  const keys = [...wanted.keys()];
  const plans = new Map<string, Settled<ReadPlan>>();
  for await (const some of readPlans(context.metadata, [...wanted.values()], at, options)) {
    for (const plan of some) plans.set(keys[plans.size] ?? '', plan);
  }
  return plans;
}

function checkTotal(asked: readonly Asked[], maxBytes: number): void {
  const total = asked.reduce((sum, { length }) => sum + length, 0);
  if (asked.length <= RANGES_MAX && total <= maxBytes) return;
  throw new NokvError(
    'too-large',
    `expected at most ${RANGES_MAX} ranges of at most ${maxBytes} bytes together, found ${asked.length} of ${total}; ask for some at a time`,
  );
}

function answer({ name, offset }: Asked, plan: Settled<ReadPlan> | undefined, bytes: Settled<Uint8Array> | undefined): Settled<RangeRead> {
  if (plan === undefined) throw new NokvError('internal', `no plan was made for ${name}`);
  if (!plan.ok) return plan;
  const size = bodySize(plan.value.body);
  if (bytes === undefined) {
    const error = new NokvError('invalid-argument', `${name}: has ${size} bytes; found a range from ${offset}`, { details: { size } });
    return { ok: false, error };
  }
  return bytes.ok ? { ok: true, value: { bytes: bytes.value, generation: plan.value.generation, size } } : bytes;
}
