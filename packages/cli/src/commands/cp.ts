/** `cp`: files share their blocks; directories are made again, top down. */
import type { NokvClient } from '@nokv/client';
import { NokvError, splitPath } from '@nokv/types';
import { type Address, addressesOf, atOf, readingAddress } from '../address.js';
import { orAdvise } from '../advise.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { childPath, remotePath, showPath } from '../remote-path.js';
import type { fileCommands } from '../table/file-commands.js';
import { mustAttributes, walk } from '../walk.js';
import { changeOptions, checkOneRequest, isDestinationDirectory, nameFor, tell } from './namespace.js';

type Cp = CallOf<typeof fileCommands.cp>;

export async function cp(call: Cp): Promise<void> {
  const { args, flags, signal } = call;
  const sources = addressesOf(call, args.sources);
  const destination = remotePath(args.destination);
  checkOneRequest(call, flags.recursive ? 2 : sources.length);
  await using client = await connectClient(call);
  const goesInto = await isDestinationDirectory(call, client, destination, args.destination, sources.length);
  for (const address of sources) {
    const { path: source } = address;
    const to = goesInto ? childPath(destination, nameFor(source)) : destination;
    if (address.moment !== undefined) {
      await copyPast(call, client, address, to);
      continue;
    }
    const card = await client.stat(source, { signal, follow: !flags.recursive });
    if (card.type !== 'directory') await copyNode(call, client, source, to, card.type);
    else if (flags.recursive) await copyTree(call, client, source, to, card.mode);
    else throw new NokvError('is-directory', `${showPath(source)}: is a directory; use -r`);
  }
}

/** The past is not read and written again but cloned, whatever its size, so nothing may be in the way. */
async function copyPast(call: Cp, client: NokvClient, address: Address, to: Uint8Array): Promise<void> {
  const { path: source } = address;
  const at = await atOf(call, client, address);
  const card = await readingAddress(address, async () => await client.stat(source, { signal: call.signal, follow: false, at }));
  if (card.type === 'directory' && !call.flags.recursive)
    throw new NokvError('is-directory', `${showPath(source)}: is a directory; use -r`);
  const clone = async () => await client.clone(source, to, { ...changeOptions(call), at });
  await tell(call, to, await orAdvise('exists', 'remove it first, or name another DST', clone), { from: showPath(source) });
}

async function copyTree(call: Cp, client: NokvClient, source: Uint8Array, to: Uint8Array, mode: number): Promise<void> {
  const names = splitPath(source);
  if (splitPath(to).length >= names.length && showPath(to).startsWith(`${showPath(source)}/`)) {
    throw new NokvError('own-descendant', `${showPath(to)}: lies in ${showPath(source)}, which would be copied into itself`);
  }
  await makeDirectory(call, client, to, mode);
  for await (const walked of walk(client, source, { signal: call.signal })) {
    const below = splitPath(walked.path).slice(names.length);
    const path = below.reduce((parent, name) => childPath(parent, name), to);
    if (walked.entry.type === 'directory') await makeDirectory(call, client, path, mustAttributes(walked).mode);
    else await copyNode(call, client, walked.path, path, walked.entry.type);
  }
}

async function makeDirectory(call: Cp, client: NokvClient, path: Uint8Array, mode: number): Promise<void> {
  const { attributes, ...outcome } = await client.mkdir(path, { signal: call.signal, parents: true, mode });
  await tell(call, path, { ...outcome, attributes });
}

async function copyNode(call: Cp, client: NokvClient, source: Uint8Array, to: Uint8Array, type: string): Promise<void> {
  if (type === 'file')
    return await tell(call, to, await client.copy(source, to, { ...changeOptions(call), preserve: true }), { from: showPath(source) });
  if (type !== 'symlink')
    throw new NokvError('not-regular-file', `${showPath(source)}: expected a file, directory or symlink, found a ${type}`);
  const target = await client.readlink(source, { signal: call.signal });
  await tell(call, to, await client.symlink(target, to, changeOptions(call)), { from: showPath(source) });
}
