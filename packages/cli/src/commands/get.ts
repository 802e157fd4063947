/** `get`: files and trees, back on the local disk or to standard output. */
import { mkdir, stat as statLocal } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { NokvClient, TreeReport } from '@nokv/client';
import { NokvError, formatName, isNokvError, splitPath, type Generation } from '@nokv/types';
import { type Address, atOf, bodyAt } from '../address.js';
import { orAdvise } from '../advise.js';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { localFailure } from '../local-failure.js';
import { printable } from '../printable.js';
import { progressBar, SumOfProgress } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { expandedAddresses, isGlob } from '../remote-glob.js';
import { lastName, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { treeCounts } from '../tree-counts.js';
import { usageError } from '../usage-error.js';
import { writeBodies } from './cat.js';

type Get = CallOf<typeof transferCommands.get>;

/** Files of one command that are fetched side by side; each has blocks in flight of its own. */
const FILES_AT_ONCE_MAX = 8;

interface Planned {
  readonly address: Address;
  readonly local: string;
  readonly type: string;
  /** Named by its generation: looked for among the bodies that are kept. */
  readonly generation: Generation | undefined;
}

export async function get(call: Get): Promise<void> {
  const { args, flags, io, output } = call;
  if (flags.noClobber && flags.ifNewer) throw usageError('--no-clobber and --if-newer say different things; use one');
  await using client = await connectClient(call);
  using bar = progressBar(io, output, 'get', flags.progress, args.destination === '-' && io.stdoutIsTerminal);
  const addresses = await expandedAddresses(call, client, args.sources);
  if (args.destination === '-') return await writeBodies(call, client, addresses, undefined, bar);
  const plan = await planned(call, client, addresses);
  const sum = new SumOfProgress(bar, plan.length);
  const atOnce = plan.some(({ type }) => type === 'directory') ? 1 : Math.min(FILES_AT_ONCE_MAX, flags.jobs ?? FILES_AT_ONCE_MAX);
  for await (const { one, report } of mapInOrder(plan, atOnce, async (one) => ({ one, report: await fetchOne(call, client, one, sum) }))) {
    // The line goes away for what stays; the next update draws it again.
    bar[Symbol.dispose]();
    await tell(call, one, report);
  }
}

async function tell({ output }: Get, { address, local, type }: Planned, report: TreeReport): Promise<void> {
  const { files, directories, symlinks, links, specials, bytes, skipped } = report;
  for (const { path, reason } of skipped) output.note(`nokv: get: left out ${printable(path)}: ${reason}`);
  const json = { path: showPath(address.path), destination: local, files, directories, symlinks, links, specials, bytes, skipped };
  const text = type === 'directory' ? treeCounts(report) : formatSize(bytes);
  await output.result(json, files === 0 && type !== 'directory' ? undefined : `${printable(local)}  ${text}`);
}

/** Where each source goes, looked at before anything is fetched: like cp(1), several go into a directory that is there. */
async function planned(call: Get, client: NokvClient, addresses: readonly Address[]): Promise<Planned[]> {
  const { args, flags, io } = call;
  const wanted = resolve(io.cwd, args.destination);
  const isDirectory = await isLocalDirectory(wanted);
  const isMany = addresses.length > 1 || args.sources.some(isGlob);
  if (isMany && !isDirectory)
    throw new NokvError('not-directory', `${args.destination}: expected a directory on this machine for several sources; make it first`);
  if (/\/\.?$/.test(args.destination) && !isDirectory)
    throw new NokvError('not-found', `${args.destination}: is no directory on this machine; make it first`);
  const plan: Planned[] = [];
  const taken = new Map<string, string>();
  for (const address of addresses) {
    const { type, generation } = await kindOf(call, client, address);
    if (type === 'directory' && isMany && !flags.recursive)
      throw new NokvError('is-directory', `${showPath(address.path)}: is a directory; use -r`);
    const goesInto = isMany || flags.parents || (isDirectory && type !== 'directory');
    const names = flags.parents ? splitPath(address.path) : [lastName(address.path) ?? new Uint8Array(0)];
    const local = goesInto ? join(wanted, ...names.map(localName)) : wanted;
    const other = taken.get(local);
    if (other !== undefined) {
      throw new NokvError(
        'invalid-argument',
        `${showPath(address.path)} and ${other} would both become ${local}; use --parents to keep their paths`,
      );
    }
    taken.set(local, showPath(address.path));
    plan.push({ address, local, type, generation });
  }
  return plan;
}

async function kindOf(
  call: Get,
  client: NokvClient,
  address: Address,
): Promise<{ readonly type: string; readonly generation: Generation | undefined }> {
  const { signal } = call;
  const kind = address.moment?.kind;
  if (kind === 'generation' || kind === 'ordinal') {
    try {
      const { generation } = await bodyAt(call, client, address);
      await client.get(address.path, { signal, generation });
      return { type: 'file', generation };
    } catch (error) {
      // A directory has no bodies: then the number is that of the commit.
      if (kind === 'ordinal' || !isNokvError(error, 'is-directory')) throw advised(address, error);
    }
  }
  const at = await atOf(call, client, address);
  const { type } = await client.stat(address.path, at === undefined ? { signal } : { signal, at });
  return { type, generation: undefined };
}

/** A name with "@" has to be written in another way. */
function advised({ text, written }: Address, error: unknown): unknown {
  const suffix = written.slice(text.length + 1);
  if (!/^v?\d+$/.test(suffix) || !isNokvError(error, 'not-found')) return error;
  return new NokvError('not-found', `${error.message}; if the name itself ends in "@${suffix}", write \\x40${suffix}`, {
    cause: error,
    details: error.details,
  });
}

async function fetchOne(
  call: Get,
  client: NokvClient,
  { address, local, type, generation }: Planned,
  sum: SumOfProgress,
): Promise<TreeReport> {
  const { flags } = call;
  const at = generation === undefined ? await atOf(call, client, address) : undefined;
  const keep = flags.noClobber ? ('existing' as const) : flags.ifNewer ? ('newer' as const) : undefined;
  const options = { ...transferOptions(call), at, keep, preserve: flags.preserve, onProgress: sum.of(local) };
  if (flags.parents) await makeParents(local);
  const transfer = async () =>
    type === 'directory'
      ? await client.getTree(address.path, local, { ...options, jobs: flags.jobs, replace: flags.replace })
      : await client.getFile(address.path, local, { ...options, generation, resume: flags.resume, replace: true });
  return await orAdvise('exists', 'use --replace to write over what is in the way', transfer);
}

async function makeParents(local: string): Promise<void> {
  await mkdir(dirname(local), { recursive: true }).catch((error: unknown) => {
    throw localFailure(error, dirname(local));
  });
}

async function isLocalDirectory(path: string): Promise<boolean> {
  return await statLocal(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function localName(name: Uint8Array): string {
  if (name.length === 0) throw new NokvError('is-directory', '/: is a directory; give the local directory that it becomes');
  const text = Buffer.from(name).toString('utf8');
  if (Buffer.compare(Buffer.from(text), name) !== 0) {
    throw new NokvError('invalid-name', `${formatName(name)}: is not UTF-8; name the local file as the destination`);
  }
  return text;
}
