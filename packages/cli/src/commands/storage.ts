/** `storage get | set | clear`. */
import type { NokvClient, StorageInfo, StorageSettings } from '@nokv/client';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { remotePath, showPath } from '../remote-path.js';
import type { storageCommands } from '../table/storage-commands.js';
import { usageError } from '../usage-error.js';
import { changeOptions } from './namespace.js';

type Rows = typeof storageCommands;
type Shown = Pick<CallOf<Rows['storageGet']>, 'output' | 'signal'>;

export async function storageGet(call: CallOf<Rows['storageGet']>): Promise<void> {
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  await show(call, client, path);
}

export async function storageSet(call: CallOf<Rows['storageSet']>): Promise<void> {
  const { compress, dedup } = call.flags;
  if (compress === undefined && dedup === undefined) throw usageError('expected --compress CODEC, --dedup on|off or both');
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const settings: Partial<StorageSettings> = {
    ...(compress === undefined ? {} : { compress }),
    ...(dedup === undefined ? {} : { dedup: dedup === 'on' }),
  };
  const { version, requestId } = await client.storage.set(path, settings, changeOptions(call));
  await show(call, client, path, { version, requestId });
}

export async function storageClear(call: CallOf<Rows['storageClear']>): Promise<void> {
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  await client.storage.clear(path, changeOptions(call));
  await show(call, client, path);
}

async function show({ output, signal }: Shown, client: NokvClient, path: Uint8Array, commit: object = {}): Promise<void> {
  const { settings, from } = await client.storage.get(path, { signal });
  const shown = showPath(path);
  const dedup = settings.dedup ? 'on' : 'off';
  const text = `${printable(shown)}  compress ${settings.compress} (${origin(shown, from.compress)}), dedup ${dedup} (${origin(shown, from.dedup)})`;
  const sources = { compress: from.compress ?? null, dedup: from.dedup ?? null };
  await output.result({ path: shown, compress: settings.compress, dedup: settings.dedup, from: sources, ...commit }, text);
}

function origin(path: string, from: StorageInfo['from'][keyof StorageSettings]): string {
  return from === undefined ? 'the default' : from === path ? 'set here' : `set at ${printable(from)}`;
}
