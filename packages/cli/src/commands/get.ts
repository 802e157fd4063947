/** `get`: a file or a tree, back on the local disk. */
import { stat as statLocal } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { BodyHandle, NokvClient } from '@nokv/client';
import { NokvError, formatName, isNokvError } from '@nokv/types';
import { type Address, addressOf, atOf } from '../address.js';
import { orAdvise } from '../advise.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { type ProgressBar, progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { lastName, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { usageError } from '../usage-error.js';
import { writeLocalFile } from '../write-local-file.js';
import { openBody } from './cat.js';

type Get = CallOf<typeof transferCommands.get>;

export async function get(call: Get): Promise<void> {
  const { args, flags, io } = call;
  if (args.destination === '-') throw usageError('to write a body to standard output use "nokv cat"');
  const address = addressOf(call, args.source);
  await using client = await connectClient(call);
  using bar = progressBar(io, call.output, 'get', flags.progress);
  const body = await generationAt(call, client, address);
  if (body === undefined) await restore(call, client, address, bar);
  else await writeBody(call, address, body, bar);
}

/** The body that was named by its generation; undefined for everything that is restored as it was at a moment. */
async function generationAt(call: Get, client: NokvClient, address: Address): Promise<BodyHandle | undefined> {
  const kind = address.moment?.kind;
  if (kind !== 'generation' && kind !== 'ordinal') return undefined;
  try {
    return await openBody(call, client, address);
  } catch (error) {
    // A directory has no bodies: then the number is that of the commit.
    if (kind === 'generation' && isNokvError(error, 'is-directory')) return undefined;
    throw error;
  }
}

async function writeBody(call: Get, { path }: Address, body: BodyHandle, bar: ProgressBar): Promise<void> {
  const local = await localPlace(call, path, 'file');
  await writeLocalFile(local, body, {
    signal: call.signal,
    random: call.io.random,
    onBytes: (bytes) => bar.update({ phase: 'transfer', bytes, bytesTotal: body.size }),
  });
  bar[Symbol.dispose]();
  const json = {
    path: showPath(path),
    destination: local,
    files: 1,
    directories: 0,
    symlinks: 0,
    links: 0,
    specials: 0,
    bytes: body.size,
    skipped: [],
  };
  await call.output.result(json, `${local}  ${formatSize(body.size)}`);
}

async function restore(call: Get, client: NokvClient, address: Address, bar: ProgressBar): Promise<void> {
  const { flags, output, signal } = call;
  const { path } = address;
  const at = await atOf(call, client, address);
  const { type } = await client.stat(path, { signal, at });
  const local = await localPlace(call, path, type);
  const jobs = flags.jobs === undefined ? {} : { jobs: flags.jobs };
  const options = { ...transferOptions(call), onProgress: bar.update.bind(bar), ...jobs, at };
  const transfer = async () =>
    type === 'directory'
      ? await client.getTree(path, local, { ...options, replace: flags.replace })
      : await client.getFile(path, local, { ...options, replace: true });
  const report = await orAdvise('exists', 'use --replace to write over what is in the way', transfer);
  bar[Symbol.dispose]();
  const counts = type === 'directory' ? `${report.files} files, ${report.directories} directories, ${report.symlinks} symlinks, ` : '';
  const { files, directories, symlinks, links, specials, bytes, skipped } = report;
  const json = { path: showPath(path), destination: local, files, directories, symlinks, links, specials, bytes, skipped };
  await output.result(json, `${local}  ${counts}${formatSize(bytes)}`);
}

/** Like cp(1): a file goes into a directory that is there, under its own name. */
async function localPlace({ args, io }: Get, path: Uint8Array, type: string): Promise<string> {
  const wanted = resolve(io.cwd, args.destination);
  return type === 'directory' || !(await isLocalDirectory(wanted)) ? wanted : join(wanted, localName(path));
}

async function isLocalDirectory(path: string): Promise<boolean> {
  return await statLocal(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function localName(path: Uint8Array): string {
  const name = lastName(path);
  if (name === undefined) throw new NokvError('is-directory', '/: is a directory; give the local directory that it becomes');
  const text = Buffer.from(name).toString('utf8');
  if (Buffer.compare(Buffer.from(text), name) !== 0) {
    throw new NokvError('invalid-name', `${formatName(name)}: is not UTF-8; name the local file as the destination`);
  }
  return text;
}
