/** What a command reads: a path, and the moment that stands behind it or comes from `--at`. */
import type { AtLike, NokvClient } from '@nokv/client';
import { NokvError, isNokvError, type Generation } from '@nokv/types';
import type { Call } from './command.js';
import { didYouMean } from './did-you-mean.js';
import { type Moment, formatMoment, splitMoment } from './moment.js';
import { remotePath } from './remote-path.js';
import { usageError } from './usage-error.js';

export interface Address {
  readonly path: Uint8Array;
  /** The path as it was written, without the moment. */
  readonly text: string;
  /** With the moment, when it stands there. */
  readonly written: string;
  /** Absent: now. */
  readonly moment: Moment | undefined;
}

type Asked = Pick<Call, 'signal'> & { readonly flags: { readonly at?: Moment | undefined } };

/** One argument of a command that has `--at`. */
export function addressOf(call: Asked, text: string): Address {
  const { path, moment } = splitMoment(text);
  if (moment !== undefined && call.flags.at !== undefined) {
    throw usageError(`${text}: names a moment already; leave out --at ${formatMoment(call.flags.at)}`);
  }
  return { path: remotePath(path), text: path, written: text, moment: moment ?? call.flags.at };
}

export function addressesOf(call: Asked, texts: readonly string[]): Address[] {
  return texts.map((text) => addressOf(call, text));
}

/** Where names and attributes are read: undefined for now. A tag and a time are looked up once, so that one command shows one state. */
export async function atOf(call: Pick<Call, 'signal'>, client: NokvClient, { path, text, moment }: Address): Promise<AtLike | undefined> {
  if (moment === undefined) return undefined;
  return await stateAt(call, client, moment, async (ordinal) => await generationOf(call, client, { path, text }, ordinal));
}

/** The same for what is not about one file: there is no third body of a whole command. */
export async function stateOf(call: Pick<Call, 'signal'>, client: NokvClient, moment: Moment): Promise<AtLike> {
  return await stateAt(call, client, moment, () => {
    throw new NokvError('invalid-argument', `${formatMoment(moment)} counts the bodies of one file; write PATH@${formatMoment(moment)}`);
  });
}

/** Where a body is read: one that is named by its generation is looked for among those that are kept, not in a past state. */
export async function bodyAt(
  call: Pick<Call, 'signal'>,
  client: NokvClient,
  address: Address,
): Promise<{ readonly generation?: Generation; readonly at?: AtLike }> {
  const { moment } = address;
  if (moment === undefined) return {};
  if (moment.kind === 'generation') return { generation: moment.generation };
  if (moment.kind === 'ordinal') return { generation: await generationOf(call, client, address, moment.ordinal) };
  const at = await atOf(call, client, address);
  return at === undefined ? {} : { at };
}

/** What a failure says of an address: that a name with "@" has to be written in another way. */
export async function readingAddress<Result>({ text, written }: Address, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    const suffix = written.slice(text.length + 1);
    if (!/^v?\d+$/.test(suffix) || !isNokvError(error, 'not-found')) throw error;
    const hint = `; if the name itself ends in "@${suffix}", write \\x40${suffix}`;
    throw new NokvError('not-found', `${error.message}${hint}`, { cause: error, details: error.details });
  }
}

/** The generation of the N-th body of a file, from its log. */
export async function generationOf(
  { signal }: Pick<Call, 'signal'>,
  client: NokvClient,
  { path, text }: Pick<Address, 'path' | 'text'>,
  ordinal: number,
): Promise<Generation> {
  let newest = 0;
  const kept: string[] = [];
  for await (const row of client.log(path, { signal })) {
    if (row.ordinal === ordinal) return row.generation;
    newest = Math.max(newest, row.ordinal);
    if (row.ordinal < ordinal) break;
    if (kept.length < 5) kept.push(`v${row.ordinal}`);
  }
  if (newest === 0) throw new NokvError('not-found', `${text}: has no body yet, so no v${ordinal}`);
  if (ordinal > newest) throw new NokvError('not-found', `${text}: has no v${ordinal}; the newest body is v${newest}`);
  throw new NokvError('retention-ended', `${text}: v${ordinal} is not kept any more; "nokv log" shows what is: ${kept.join(' ')} …`);
}

async function stateAt(
  call: Pick<Call, 'signal'>,
  client: NokvClient,
  moment: Moment,
  generationOfOrdinal: (ordinal: number) => Promise<Generation>,
): Promise<AtLike> {
  const { signal } = call;
  switch (moment.kind) {
    case 'snapshot':
      return { snapshot: moment.snapshot };
    case 'version':
      return { version: moment.version };
    case 'generation':
      return { version: moment.generation };
    case 'ordinal':
      return { version: await generationOfOrdinal(moment.ordinal) };
    case 'time':
      return { version: (await client.metadata.read('version-at', { at: { time: moment.time } }, { signal })).version };
    case 'tag':
      return { snapshot: (await withNearTags(call, client, moment.tag, async () => await client.tags.get(moment.tag, { signal }))).id };
  }
}

/** A tag that is not there is told with those that sound like it. */
export async function withNearTags<Result>(
  { signal }: Pick<Call, 'signal'>,
  client: NokvClient,
  tag: string,
  act: () => Promise<Result>,
): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (!isNokvError(error, 'not-found')) throw error;
    const names: string[] = [];
    // As many as a shard may have.
    for await (const { name } of client.tags.list({ signal })) if (name !== undefined) names.push(name);
    if (names.includes(tag)) throw error;
    const hint = didYouMean(tag, names) || (names.length === 0 ? ' (there are none)' : ' ("nokv tag list" shows all)');
    throw new NokvError('not-found', `no tag is named ${tag}${hint}`, { cause: error, details: { ...error.details, tag } });
  }
}
