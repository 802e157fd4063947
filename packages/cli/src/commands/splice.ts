/** `append` and `patch`: bytes of a local file or of standard input, into a file that is there. */
import { stat as statLocal } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { NokvClient, PutSource, SpliceOptions, SpliceOutcome } from '@nokv/client';
import { NokvError, generation } from '@nokv/types';
import { orAdvise } from '../advise.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { localFailure } from '../local-failure.js';
import { printable } from '../printable.js';
import { progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { remotePath, showPath } from '../remote-path.js';
import type { fileCommands } from '../table/file-commands.js';
import { usageError } from '../usage-error.js';

type Append = CallOf<typeof fileCommands.append>;
type Patch = CallOf<typeof fileCommands.patch>;

export async function append(call: Append): Promise<void> {
  const { parents, mode } = call.flags;
  await splice(call, async (client, path, source, options) => {
    const add = async () => await client.append(path, source, { ...options, parents, ...(mode === undefined ? {} : { mode }) });
    return await orAdvise('not-found', 'use --parents to make what is missing', add);
  });
}

export async function patch(call: Patch): Promise<void> {
  const { offset } = call.flags;
  if (offset === undefined) throw usageError('say where the bytes go: --offset N');
  await splice(call, async (client, path, source, options) => {
    const write = async () => await client.patch(path, offset, source, options);
    return await orAdvise('not-found', 'only files that are there are patched; put or append makes one', write);
  });
}

async function splice(
  call: Append | Patch,
  change: (client: NokvClient, path: Uint8Array, source: PutSource, options: SpliceOptions) => Promise<SpliceOutcome>,
): Promise<void> {
  const { args, flags, output } = call;
  const source = await sourceOf(call, args.source);
  const path = remotePath(args.path);
  await using client = await connectClient(call);
  using bar = progressBar(call.io, output, call.command, flags.progress);
  const outcome = await change(client, path, source, {
    ...transferOptions(call),
    onProgress: (progress) => bar.update(progress),
    ...(flags.ifGeneration === undefined ? {} : { ifGeneration: generation(flags.ifGeneration) }),
    ...(flags.requestId === undefined ? {} : { requestId: flags.requestId }),
  });
  const { generation: made, version, created, attributes, offset, length, requestId } = outcome;
  const text = `${printable(showPath(path))}@${made}  ${formatSize(length)} at ${offset}, ${formatSize(attributes.size)} in all`;
  await output.result({ path: showPath(path), generation: made, version, created, offset, length, size: attributes.size, requestId }, text);
}

async function sourceOf({ io }: Pick<Append, 'io'>, text: string): Promise<PutSource> {
  if (text === '-') return io.stdin as AsyncIterable<Uint8Array>;
  const file = resolve(io.cwd, text);
  const found = await statLocal(file).catch((error: unknown) => {
    throw localFailure(error, text);
  });
  if (found.isDirectory()) throw new NokvError('is-directory', `${text}: is a directory; expected a file or -`);
  if (!found.isFile())
    throw new NokvError('not-regular-file', `${text}: expected a file, found a device, fifo or socket; pipe it in and use -`);
  return { file };
}
