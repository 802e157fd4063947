/** `diff`: what differs between two places or moments, as a list or as a patch. */
import type { AtLike, BodyHandle, Difference, NokvClient } from '@nokv/client';
import { type DiffNode, type Generation, type InodeNumber, isNokvError, joinPath, splitPath } from '@nokv/types';
import { type Address, addressOf, atOf, bodyAt, readingAddress } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { differenceJson, differenceLine, shownPath } from '../diff-view.js';
import type { historyCommands } from '../table/history-commands.js';
import { type TextSide, unifiedDiff } from '../text-diff/unified.js';
import { usageError } from '../usage-error.js';

type Diff = CallOf<typeof historyCommands.diff>;

/** Bodies that are compared by lines are held in memory, both of them. */
const TEXT_BYTES_MAX = 64 * 1024 * 1024;

interface Side {
  readonly address: Address;
  readonly at: AtLike | undefined;
}

export async function diff(call: Diff): Promise<void> {
  const { args, flags, output } = call;
  if (flags.text && flags.nameOnly) throw usageError('--text and --name-only exclude each other; give one');
  const plain = { ...call, flags: {} };
  const a = addressOf(plain, args.a);
  // What has happened since is the commonest question.
  const b = args.b === undefined ? { ...a, written: a.text, moment: undefined } : addressOf(plain, args.b);
  if (args.b === undefined && a.moment === undefined) {
    throw usageError(`${args.a}: is compared with itself; name a moment such as ${args.a}@snap:ID, or another place`);
  }
  await using client = await connectClient(call);
  let count = 0;
  for await (const row of rowsOf(call, client, a, b)) {
    count += 1;
    await printRow(call, row);
  }
  await output.flush();
  if (!output.json) output.note(`${count} ${count === 1 ? 'difference' : 'differences'}`);
}

interface Row {
  readonly difference: Difference;
  /** The bodies, where there is one to compare; undefined on the side that has none. */
  readonly bodies: (() => Promise<{ readonly a: BodyHandle | undefined; readonly b: BodyHandle | undefined }>) | undefined;
  readonly names: { readonly a: string; readonly b: string };
}

async function* rowsOf(call: Diff, client: NokvClient, a: Address, b: Address): AsyncGenerator<Row> {
  if (isBodyMoment(a) || isBodyMoment(b)) {
    const bodies = await bothBodies(call, client, a, b);
    if (bodies !== undefined) return yield* rowOfBodies(bodies, { a: a.written, b: b.written });
  }
  const sides = { a: { address: a, at: await atOf(call, client, a) }, b: { address: b, at: await atOf(call, client, b) } };
  const points = { a: { path: a.path, at: sides.a.at }, b: { path: b.path, at: sides.b.at } };
  for await (const difference of client.diff(points.a, points.b, { signal: call.signal })) {
    const { path, fromPath = path, pathBytes, fromPathBytes = pathBytes } = difference;
    const names = path === '' && fromPath === '' ? { a: a.written, b: b.written } : { a: `a/${fromPath}`, b: `b/${path}` };
    const open = async () => ({
      a: await openSide(call, client, sides.a, difference.a, fromPathBytes),
      b: await openSide(call, client, sides.b, difference.b, pathBytes),
    });
    yield { difference, bodies: hasOtherBody(difference) ? open : undefined, names };
  }
}

function isBodyMoment({ moment }: Address): boolean {
  return moment?.kind === 'generation' || moment?.kind === 'ordinal';
}

/** Two bodies of which one is named by its generation: it may be kept longer than the state that it was part of. */
async function bothBodies(call: Diff, client: NokvClient, a: Address, b: Address) {
  const open = async (address: Address) =>
    await readingAddress(address, async () => {
      const body = await client.get(address.path, { signal: call.signal, ...(await bodyAt(call, client, address)) });
      return body;
    });
  try {
    return { a: await open(a), b: await open(b) };
  } catch (error) {
    // A directory has no bodies: its number is that of the commit.
    if (isNokvError(error, 'is-directory')) return undefined;
    throw error;
  }
}

function* rowOfBodies(bodies: { readonly a: BodyHandle; readonly b: BodyHandle }, names: Row['names']): Generator<Row> {
  const { a, b } = bodies;
  const isSame = a.generation === b.generation || (a.digest !== undefined && a.digest === b.digest);
  if (isSame) return;
  const none = new Uint8Array();
  const difference: Difference = { kind: 'modified', path: '', pathBytes: none, attributes: [], a: nodeOf(a), b: nodeOf(b) };
  yield { difference, bodies: async () => bodies, names };
}

function nodeOf({ attributes, generation, size, digest }: BodyHandle): DiffNode {
  const { ino, type, mode } = attributes;
  return { ino, type, size, mode, generation, ...(digest === undefined ? {} : { digest }) };
}

/** Whether there is more to see than the row says. */
function hasOtherBody({ kind, a, b }: Difference): boolean {
  if (a?.type !== 'file' && b?.type !== 'file') return false;
  if (kind !== 'renamed' && kind !== 'attributes') return true;
  return a?.size !== b?.size || a?.digest !== b?.digest;
}

/** A present body is read at the generation that was compared, whatever is put over it meanwhile. */
async function openSide(
  call: Diff,
  client: NokvClient,
  { address, at }: Side,
  node: { readonly ino: InodeNumber; readonly type: string; readonly generation: Generation } | undefined,
  below: Uint8Array,
): Promise<BodyHandle | undefined> {
  if (node === undefined || node.type !== 'file') return undefined;
  const path = below.length === 0 ? address.path : joinPath([...splitPath(address.path), ...splitPath(Buffer.concat([SLASH, below]))]);
  const version = at === undefined && node.generation > 0 ? { generation: node.generation } : { at };
  return await client.get(path, { signal: call.signal, ...version });
}

const SLASH = Buffer.from('/');

async function printRow(call: Diff, row: Row): Promise<void> {
  const { output, flags } = call;
  const { difference } = row;
  const patch = flags.text ? await patchOf(call, row) : undefined;
  if (output.json) {
    const text = flags.text ? { patch: patch === undefined ? null : patch.toString('utf8') } : {};
    return await output.object({ ...differenceJson(difference), ...text });
  }
  if (flags.nameOnly) return await output.line(shownPath(difference.path));
  if (patch === undefined) return await output.line(differenceLine(difference));
  await output.bytes(patch);
}

/** Undefined where there is no body to compare: then the row is told as in a list, which patch(1) steps over. */
async function patchOf({ signal }: Diff, { bodies, names }: Row): Promise<Buffer | undefined> {
  if (bodies === undefined) return undefined;
  const { a, b } = await bodies();
  if (a === undefined && b === undefined) return undefined;
  if (Math.max(a?.size ?? 0, b?.size ?? 0) > TEXT_BYTES_MAX) {
    return Buffer.from(`Files ${names.a} and ${names.b} differ (more than 64 MiB are not compared by lines)\n`);
  }
  const side = async (name: string, body: BodyHandle | undefined): Promise<TextSide> => ({
    name,
    mtime: body?.attributes.mtime,
    bytes: body === undefined ? new Uint8Array() : await body.bytes({ signal }),
  });
  const patch = unifiedDiff(await side(names.a, a), await side(names.b, b));
  return patch.length === 0 ? undefined : patch;
}
