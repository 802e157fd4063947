/** `backup` and `restore`: the metadata of a server into another place, and back into an empty data directory. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CallOf } from '../command.js';
import { connectClient, storeEnv, transferOptions } from '../connection.js';
import { progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import type { serverCommands } from '../table/server-commands.js';
import { maskSecrets } from './config-show.js';

export async function backup(call: CallOf<typeof serverCommands.backup>): Promise<void> {
  const { args, io, output } = call;
  const destination = storeUrl(args.destination, io.cwd);
  await using client = await connectClient(call);
  using bar = progressBar(io, output, 'backup');
  const report = await client.backup(destination, {
    ...transferOptions(call),
    onProgress: ({ bytes }) => bar.update({ phase: 'write', bytes }),
  });
  bar[Symbol.dispose]();
  const shown = maskSecrets(destination);
  const { version, rows, bytes, blocks, digest } = report;
  await output.result(
    { destination: shown, version, rows, bytes, blocks, digest },
    `${shown}  version ${version}, ${rows} rows, ${formatSize(bytes)}, digest ${digest}`,
  );
}

export async function restore(call: CallOf<typeof serverCommands.restore>): Promise<void> {
  const { args, io, output } = call;
  const data = resolve(io.cwd, call.settings.with(call.flags).must('data'));
  const { restoreDataDirectory } = await import('@nokv/server');
  const restored = await restoreDataDirectory(
    { source: storeUrl(args.source, io.cwd), data },
    { clock: io.clock, random: io.random, env: storeEnv(call) },
  );
  const { version, rows, segments, digest } = restored;
  const log = segments === 0 ? '' : ` and ${segments} segments of the log`;
  await output.result({ data, version, rows, segments, digest }, `${data}  version ${version}, ${rows} rows${log}, digest ${digest}`);
}

/** A plain path is a directory of this machine. */
function storeUrl(text: string, cwd: string): string {
  return /^[a-z0-9]+:/i.test(text) ? text : pathToFileURL(resolve(cwd, text)).href;
}
