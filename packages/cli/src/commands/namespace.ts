/** Changes of one inode or one name each. Paths are parsed before anything is sent: a wrong one changes nothing. */
import type { NodeOutcome, NokvClient, Outcome } from '@nokv/client';
import { NokvError, type RequestId, formatName, isNokvError, parseName } from '@nokv/types';
import { addressesOf, atOf, readingAddress } from '../address.js';
import { orAdvise } from '../advise.js';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { parseModeChange, parseOwner } from '../quantities.js';
import { childPath, lastName, remotePath, remotePaths, showPath } from '../remote-path.js';
import type { fileCommands } from '../table/file-commands.js';
import { usageError } from '../usage-error.js';
import { walk } from '../walk.js';

type Rows = typeof fileCommands;

export async function mkdir(call: CallOf<Rows['mkdir']>): Promise<void> {
  const { parents, mode } = call.flags;
  await eachPath(call, async (client, path, options) => {
    const make = async () => await client.mkdir(path, { ...options, parents, ...(mode === undefined ? {} : { mode }) });
    return await orAdvise('not-found', 'use -p to make what is missing', make);
  });
}

export async function rm(call: CallOf<Rows['rm']>): Promise<void> {
  const { recursive, force } = call.flags;
  for (const text of call.args.paths) {
    if (lastName(remotePath(text)) === undefined)
      throw new NokvError('not-permitted', `${text}: refusing to remove the root; name what is in it`);
  }
  await eachPath(call, async (client, path, options) => {
    try {
      return recursive ? await client.removeTree(path, options) : await client.unlink(path, options);
    } catch (error) {
      if (force && isNokvError(error, 'not-found')) return undefined;
      if (isNokvError(error, 'is-directory'))
        throw new NokvError('is-directory', `${showPath(path)}: is a directory; use -r, or rmdir when it is empty`, { cause: error });
      throw error;
    }
  });
}

export async function rmdir(call: CallOf<Rows['rmdir']>): Promise<void> {
  await eachPath(call, async (client, path, options) => await client.rmdir(path, options));
}

export async function mv(call: CallOf<Rows['mv']>): Promise<void> {
  const { args, flags } = call;
  if (flags.noReplace && flags.exchange) throw usageError('-n and --exchange exclude each other; give one');
  if (flags.exchange && args.sources.length > 1) throw usageError('--exchange swaps two paths, found more');
  const sources = remotePaths(args.sources);
  const destination = remotePath(args.destination);
  checkOneRequest(call, sources.length);
  await using client = await connectClient(call);
  const goesInto = !flags.exchange && (await isDestinationDirectory(call, client, destination, args.destination, sources.length));
  const mode = flags.exchange ? 'exchange' : flags.noReplace ? 'no-replace' : 'replace';
  for (const source of sources) {
    const to = goesInto ? childPath(destination, nameFor(source)) : destination;
    const outcome = await client.rename(source, to, { ...changeOptions(call), mode });
    await tell(call, to, outcome, { from: showPath(source) });
  }
}

export async function ln(call: CallOf<Rows['ln']>): Promise<void> {
  const path = remotePath(call.args.path);
  const target = call.flags.symbolic ? parseName(call.args.target) : remotePath(call.args.target);
  await using client = await connectClient(call);
  const outcome = call.flags.symbolic
    ? await client.symlink(target, path, changeOptions(call))
    : await client.link(target, path, changeOptions(call));
  await tell(call, path, outcome);
}

export async function readlink(call: CallOf<Rows['readlink']>): Promise<void> {
  const addresses = addressesOf(call, call.args.paths);
  await using client = await connectClient(call);
  for (const address of addresses) {
    const options = { signal: call.signal, at: await atOf(call, client, address) };
    const target = formatName(await readingAddress(address, async () => await client.readlink(address.path, options)));
    if (call.output.json) await call.output.object({ path: showPath(address.path), target });
    else await call.output.line(printable(target));
  }
}

export async function chmod(call: CallOf<Rows['chmod']>): Promise<void> {
  const change = parseModeChange(call.args.mode);
  const isAbsolute = /^[0-7]+$/.test(call.args.mode);
  const paths = remotePaths(call.args.paths);
  checkOneRequest(call, call.flags.recursive ? 2 : paths.length);
  await using client = await connectClient(call);
  for await (const { path, type } of selected(call, client, paths)) {
    // A symlink has no permissions of its own; those below a directory are left alone.
    if (type === 'symlink') continue;
    const now = isAbsolute ? undefined : await client.stat(path, { signal: call.signal });
    const mode = change(now?.mode ?? 0, (now?.type ?? type) === 'directory');
    await tell(call, path, await client.chmod(path, mode, changeOptions(call)));
  }
}

export async function chown(call: CallOf<Rows['chown']>): Promise<void> {
  const owner = parseOwner(call.args.owner);
  const paths = remotePaths(call.args.paths);
  checkOneRequest(call, call.flags.recursive ? 2 : paths.length);
  await using client = await connectClient(call);
  for await (const { path, type } of selected(call, client, paths)) {
    const follow = !call.flags.noDereference && type !== 'symlink';
    await tell(call, path, await client.setattr(path, owner, { ...changeOptions(call), follow }));
  }
}

export async function touch(call: CallOf<Rows['touch']>): Promise<void> {
  await eachPath(call, async (client, path, options) => {
    try {
      return await client.utimes(path, 'now', 'now', options);
    } catch (error) {
      if (!isNokvError(error, 'not-found')) throw error;
      return await client.put(path, new Uint8Array(), { ...options, ifGeneration: 0 });
    }
  });
}

export async function truncate(call: CallOf<Rows['truncate']>): Promise<void> {
  const { size } = call.flags;
  if (size === undefined) throw usageError('say how long the files are to be: -s SIZE');
  await eachPath(call, async (client, path, options) => await client.truncate(path, size, options));
}

type ChangeOptions = ReturnType<typeof changeOptions>;

export function changeOptions({
  signal,
  flags,
}: {
  readonly signal: AbortSignal;
  readonly flags: { readonly requestId: RequestId | undefined };
}) {
  return { signal, ...(flags.requestId === undefined ? {} : { requestId: flags.requestId }) };
}

async function eachPath<
  C extends { readonly args: { readonly paths: readonly string[] }; readonly flags: { readonly requestId: RequestId | undefined } } & Omit<
    Call,
    'args' | 'flags'
  >,
>(
  call: C,
  change: (client: NokvClient, path: Uint8Array, options: ChangeOptions) => Promise<Outcome | NodeOutcome | undefined>,
): Promise<void> {
  const paths = remotePaths(call.args.paths);
  checkOneRequest(call, paths.length);
  await using client = await connectClient(call);
  for (const path of paths) await tell(call, path, await change(client, path, changeOptions(call)));
}

/** What changed is printed with `--json` only: silence is success. */
export async function tell(
  { output }: Pick<Call, 'output'>,
  path: Uint8Array,
  outcome: Outcome | NodeOutcome | undefined,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  if (!output.json) return;
  const changed = outcome === undefined ? { version: null, requestId: null } : { version: outcome.version, requestId: outcome.requestId };
  const inode = outcome !== undefined && 'attributes' in outcome ? { inode: outcome.attributes.ino } : {};
  await output.result({ path: showPath(path), ...more, ...inode, ...changed }, undefined);
}

/** A request id names one change: the same id for a second one would be refused by the server. */
export function checkOneRequest({ flags }: { readonly flags: { readonly requestId: RequestId | undefined } }, count: number): void {
  if (flags.requestId !== undefined && count > 1) throw usageError('--request-id asks again about one change; name one path');
}

/** Like mv and cp: several sources need a directory, and a directory that is there takes them in. */
export async function isDestinationDirectory(
  call: Pick<Call, 'signal'>,
  client: NokvClient,
  destination: Uint8Array,
  written: string,
  sources: number,
): Promise<boolean> {
  const card = await client.stat(destination, { signal: call.signal }).catch((error: unknown) => {
    if (isNokvError(error, 'not-found')) return undefined;
    throw error;
  });
  if (card?.type === 'directory') return true;
  if (sources > 1 || written.endsWith('/')) {
    throw new NokvError(
      card === undefined ? 'not-found' : 'not-directory',
      `${showPath(destination)}: expected a directory, found ${card === undefined ? 'nothing' : `a ${card.type}`}`,
    );
  }
  return false;
}

export function nameFor(source: Uint8Array): Uint8Array {
  const name = lastName(source);
  if (name === undefined) throw new NokvError('invalid-path', 'the root cannot be moved or copied into a directory; name what is in it');
  return name;
}

async function* selected(
  call: Pick<Call, 'signal'> & { readonly flags: { readonly recursive: boolean } },
  client: NokvClient,
  paths: readonly Uint8Array[],
): AsyncGenerator<{ readonly path: Uint8Array; readonly type: string }> {
  for (const path of paths) {
    yield { path, type: 'named' };
    if (!call.flags.recursive) continue;
    const { type } = await client.stat(path, { signal: call.signal, follow: false });
    if (type === 'directory')
      for await (const walked of walk(client, path, { signal: call.signal })) yield { path: walked.path, type: walked.entry.type };
  }
}
