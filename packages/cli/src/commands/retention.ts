/** `retention get | set`. */
import type { NokvClient, RetentionInfo } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { formatDuration } from '../quantities.js';
import { remotePath, showPath } from '../remote-path.js';
import type { historyCommands } from '../table/history-commands.js';
import { usageError } from '../usage-error.js';
import { changeOptions } from './namespace.js';

type Rows = typeof historyCommands;

export async function retentionGet(call: CallOf<Rows['retentionGet']>): Promise<void> {
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const info = await client.retention.get(path, { signal: call.signal });
  await show(call, client, path, info);
}

export async function retentionSet(call: CallOf<Rows['retentionSet']>): Promise<void> {
  const { keepLast, keepFor, inherit } = call.flags;
  const isPolicy = keepLast !== undefined || keepFor !== undefined;
  if (isPolicy === inherit) throw usageError('expected --keep-last N, --keep-for D or both; or --inherit alone');
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const { policy: now } = await client.retention.get(path, { signal: call.signal });
  const policy = inherit ? ('inherit' as const) : { keepLast: keepLast ?? now.keepLast, keepMs: keepFor ?? now.keepMs };
  const { version, requestId } = await client.retention.set(path, policy, changeOptions(call));
  await show(call, client, path, await client.retention.get(path, { signal: call.signal }), { version, requestId });
}

async function show(
  { output, signal }: Pick<CallOf<Rows['retentionGet']>, 'output' | 'signal'>,
  client: NokvClient,
  path: Uint8Array,
  { policy, from }: RetentionInfo,
  commit: { readonly version?: number; readonly requestId?: string } = {},
): Promise<void> {
  const source = from === undefined ? null : await pathOrNull(client, from, signal);
  const { keepLast, keepMs } = policy;
  const shown = printable(showPath(path));
  const origin = source === null ? 'the default' : source === showPath(path) ? 'set here' : `set at ${printable(source)}`;
  const text = `${shown}  keeps the newest ${keepLast} superseded ${keepLast === 1 ? 'body' : 'bodies'} of a file, and those of the last ${formatDuration(keepMs)} (${origin})`;
  await output.result(
    { path: showPath(path), keepLast, keepFor: formatDuration(keepMs), keepForMs: keepMs, from: source, ...commit },
    text,
  );
}

async function pathOrNull(client: NokvClient, ino: Parameters<NokvClient['pathOf']>[0], signal: AbortSignal): Promise<string | null> {
  try {
    return await client.pathOf(ino, { signal });
  } catch (error) {
    // Removed since.
    if (isNokvError(error, 'not-found')) return null;
    throw error;
  }
}
