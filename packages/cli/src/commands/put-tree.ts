/** `put-tree`: a directory that becomes visible whole or not at all; `put-artifact` publishes directories with it. */
import { resolve } from 'node:path';
import type { NokvClient, PutTreeOptions } from '@nokv/client';
import { NokvError, requestId as checkRequestId, type RequestId } from '@nokv/types';
import type { Call, CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { orTellWhatExists } from '../destination-exists.js';
import { printable } from '../printable.js';
import { progressBar } from '../progress-bar.js';
import { lastName, remotePath, showPath } from '../remote-path.js';
import type { treeCommands } from '../table/tree-commands.js';
import { treeCounts } from '../tree-counts.js';
import { usageError } from '../usage-error.js';

export async function putTree(call: CallOf<typeof treeCommands.putTree>): Promise<void> {
  const { args, flags, io, output } = call;
  const path = remotePath(args.path);
  if (lastName(path) === undefined)
    throw new NokvError('not-permitted', `${args.path}: the root is no tree to publish; name what ${args.directory} becomes`);
  if (flags.resume && flags.requestId === undefined)
    throw usageError('--resume goes on with what an earlier put-tree staged; name it by the --request-id that it printed');
  await using client = await connectClient(call);
  const id = flags.requestId ?? freshId(io.random);
  try {
    await publishDirectory(call, client, path, resolve(io.cwd, args.directory), {
      ...flags,
      requestId: id,
      special: flags.special ?? 'refuse',
    });
  } catch (error) {
    if (isWorthResuming(error))
      output.note(`nokv: put-tree: what was sent is kept for a day; run it again with --resume --request-id ${id} to go on`);
    throw error;
  }
}

export interface PublishFlags {
  readonly replace: boolean;
  readonly special: 'refuse' | 'skip' | 'keep';
  readonly jobs: number | undefined;
  readonly producer: string | undefined;
  readonly requestId: RequestId | undefined;
  readonly compress?: PutTreeOptions['compress'];
  readonly progress: 'auto' | 'never' | 'json' | undefined;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

export async function publishDirectory(
  call: Pick<Call, 'command' | 'io' | 'output' | 'settings' | 'signal'>,
  client: NokvClient,
  path: Uint8Array,
  source: string,
  flags: PublishFlags,
): Promise<void> {
  const { command, io, output } = call;
  using bar = progressBar(io, output, command, flags.progress);
  const { replace, special, jobs, producer, requestId, include, exclude, compress } = flags;
  const options = { replace, specialFiles: special, jobs, producer, requestId, include, exclude, compress };
  const publish = async () =>
    await client.putTree(source, path, {
      ...transferOptions(call),
      ...options,
      parents: true,
      onProgress: (progress) => bar.update(progress),
    });
  const report = await orTellWhatExists(client, path, publish, () => '--replace');
  bar[Symbol.dispose]();
  for (const { path: skipped, reason } of report.skipped) output.note(`nokv: ${command}: left out ${skipped}: ${reason}`);
  await output.result({ path: showPath(path), type: 'directory', ...report }, `${printable(showPath(path))}  ${treeCounts(report)}`);
}

function freshId(random: Call['io']['random']): RequestId {
  return checkRequestId(`tree-${Buffer.from(random.bytes(10)).toString('hex')}`);
}

/** A refusal stays one however often it is asked for. */
function isWorthResuming(error: unknown): boolean {
  return error instanceof NokvError && (error.kind === 'unavailable' || error.kind === 'fenced' || error.outcome === 'unknown');
}
