/** `tier status|warm|pin|unpin|evict`: the disk cache of this machine, by path. */
import type { NokvClient, TierReport } from '@nokv/client';
import { formatTimespec, timespecFromMs } from '@nokv/types';
import { type Address, addressesOf, atOf, readingAddress } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { remotePath, showPath } from '../remote-path.js';
import type { tierCommands } from '../table/tier-commands.js';

type Warm = CallOf<typeof tierCommands.tierWarm>;
type Pin = CallOf<typeof tierCommands.tierPin>;

export async function tierStatus(call: CallOf<typeof tierCommands.tierStatus>): Promise<void> {
  const { output, signal } = call;
  await using client = await connectClient(call);
  if (call.args.paths.length === 0) return await tellDirectory(call, client);
  for (const address of addressesOf(call, call.args.paths)) {
    const report = await readingAddress(address, async () => {
      const at = await atOf(call, client, address);
      return await client.tiers.status(address.path, { signal, at });
    });
    const { cachedBytes, pinnedBytes, blockBytes, inlineBytes, files } = report;
    const cells = [cachedBytes, pinnedBytes, blockBytes, inlineBytes, files].map((cell) => String(cell).padStart(12));
    if (output.json) await output.object(jsonOf(address, report));
    else await output.line(`${cells.join(' ')}  ${printable(showPath(address.path))}`);
  }
}

async function tellDirectory({ output }: CallOf<typeof tierCommands.tierStatus>, client: NokvClient): Promise<void> {
  const found = await client.tiers.directory();
  const pins = found.pins.map(({ pinnedAtMs, ...pin }) => ({ ...pin, pinnedAt: formatTimespec(timespecFromMs(pinnedAtMs)) }));
  if (output.json) return await output.object({ ...found, pins });
  const rows = [
    ['cache', found.directory],
    ['holds', `${formatSize(found.bytes)} of ${formatSize(found.bytesMax)} in ${found.entries} entries`],
    ['pinned', formatSize(found.pinnedBytes)],
    ...pins.map(({ path, files, bytes, pinnedAt }) => ['', `${printable(path)}  ${files} files, ${formatSize(bytes)}, since ${pinnedAt}`]),
  ];
  for (const line of columns(rows)) await output.line(line);
}

export async function tierWarm(call: Warm): Promise<void> {
  await bringIn(call, 'warm');
}

export async function tierPin(call: Pin): Promise<void> {
  await bringIn(call, 'pin');
}

async function bringIn(call: Warm | Pin, how: 'warm' | 'pin'): Promise<void> {
  const { flags, io, output } = call;
  await using client = await connectClient(call);
  for (const address of addressesOf(call, call.args.paths)) {
    using bar = progressBar(io, output, `tier ${how}`, flags.progress);
    const report = await readingAddress(address, async () => {
      const at = await atOf(call, client, address);
      return await client.tiers[how](address.path, { ...transferOptions(call), at, onProgress: bar.update.bind(bar) });
    });
    bar[Symbol.dispose]();
    const { files, blockBytes, fetchedBytes } = report;
    const done = how === 'warm' ? 'in the cache' : 'pinned';
    const text = `${printable(showPath(address.path))}  ${files} files, ${formatSize(blockBytes)} ${done}, ${formatSize(fetchedBytes)} of it read now`;
    await output.result(jsonOf(address, report), text);
  }
}

export async function tierUnpin(call: CallOf<typeof tierCommands.tierUnpin>): Promise<void> {
  const { output, signal } = call;
  const paths = call.args.paths.map(remotePath);
  await using client = await connectClient(call);
  for (const path of paths) {
    await client.tiers.unpin(path, { signal });
    await output.result({ path: showPath(path), unpinned: true }, undefined);
  }
}

export async function tierEvict(call: CallOf<typeof tierCommands.tierEvict>): Promise<void> {
  const { output, signal } = call;
  await using client = await connectClient(call);
  for (const address of addressesOf(call, call.args.paths)) {
    const report = await readingAddress(address, async () => {
      const at = await atOf(call, client, address);
      return await client.tiers.evict(address.path, { signal, at });
    });
    const name = printable(showPath(address.path));
    const stays = report.cachedBytes > 0 ? `; ${formatSize(report.cachedBytes)} are pinned and stay` : '';
    await output.result(
      { ...jsonOf(address, report), evictedBytes: report.evictedBytes },
      `${name}  ${formatSize(report.evictedBytes)} taken out of the cache${stays}`,
    );
  }
}

function jsonOf(address: Address, report: TierReport) {
  const { files, bytes, inlineBytes, blockBytes, cachedBytes, pinnedBytes, fetchedBytes } = report;
  return { path: showPath(address.path), files, bytes, inlineBytes, blockBytes, cachedBytes, pinnedBytes, fetchedBytes };
}
