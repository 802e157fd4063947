/** `get`: a file or a tree, back on the local disk. */
import { stat as statLocal } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { NokvError, formatName } from '@nokv/types';
import { orAdvise } from '../advise.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { lastName, showPath, versionedPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { usageError } from '../usage-error.js';
import { writeLocalFile } from '../write-local-file.js';

export async function get(call: CallOf<typeof transferCommands.get>): Promise<void> {
  const { args, flags, io, output } = call;
  if (args.destination === '-') throw usageError('to write a body to standard output use "nokv cat"');
  const { path, generation } = versionedPath(args.source);
  const wanted = resolve(io.cwd, args.destination);
  await using client = await connectClient(call);
  const card = await client.stat(path, { signal: call.signal });
  const local = card.type === 'directory' || !(await isLocalDirectory(wanted)) ? wanted : join(wanted, localName(path));
  using bar = progressBar(io, output, 'get', flags.progress);
  const options = { ...transferOptions(call), onProgress: bar.update.bind(bar), ...(flags.jobs === undefined ? {} : { jobs: flags.jobs }) };
  if (card.type === 'directory' && generation !== undefined) {
    throw new NokvError('is-directory', `${showPath(path)}: a directory has no generations; leave @${generation} out`);
  }
  if (card.type === 'file' && generation !== undefined) {
    const body = await client.get(path, { ...transferOptions(call), generation });
    await writeLocalFile(local, body, {
      signal: call.signal,
      random: io.random,
      onBytes: (bytes) => bar.update({ phase: 'transfer', bytes, bytesTotal: body.size }),
    });
    bar[Symbol.dispose]();
    const json = { path: showPath(path), destination: local, files: 1, directories: 0, symlinks: 0, bytes: body.size, skipped: [] };
    return await output.result(json, `${local}  ${formatSize(body.size)}`);
  }
  const restore = async () =>
    card.type === 'directory'
      ? await client.getTree(path, local, { ...options, replace: flags.replace })
      : await client.getFile(path, local, { ...options, replace: true });
  const report = await orAdvise('exists', 'use --replace to write over what is in the way', restore);
  bar[Symbol.dispose]();
  const counts = card.type === 'directory' ? `${report.files} files, ${report.directories} directories, ${report.symlinks} symlinks, ` : '';
  const { files, directories, symlinks, bytes, skipped } = report;
  const json = { path: showPath(path), destination: local, files, directories, symlinks, bytes, skipped };
  await output.result(json, `${local}  ${counts}${formatSize(bytes)}`);
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
