/**
 * `du`: sums of what is below directories, in one walk. It holds one open listing and one sum for each level, and the numbers of files
 * that have several names, which are counted where they are met first.
 */
import type { AtLike, NokvClient } from '@nokv/client';
import { NokvError, type Attributes } from '@nokv/types';
import { addressesOf, atOf, readingAddress } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { formatSize } from '../quantities.js';
import { childPath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { mustAttributes } from '../walk.js';

type Du = CallOf<typeof transferCommands.du>;

interface Sum {
  bytes: number;
  storedBytes: number;
  inodes: number;
  files: number;
  directories: number;
  others: number;
}

type Counted = Pick<Attributes, 'type' | 'size' | 'blocks' | 'nlink' | 'ino'>;

const BLOCK_BYTES = 512;
const COLUMN = 12;

export async function du(call: Du): Promise<void> {
  const { signal } = call;
  const addresses = addressesOf(call, call.args.paths);
  await using client = await connectClient(call);
  for (const address of addresses) {
    const { path } = address;
    const at = await atOf(call, client, address);
    const top = await readingAddress(address, async () => await client.stat(path, { signal, follow: false, at }));
    const seen = new Set<number>();
    const sum =
      top.type === 'directory' ? await sumUp(call, client, path, { card: top, at, seen, isTop: true }) : add(nothing(), top, seen);
    await tell(call, path, sum);
  }
}

/** Tells the directories below first, as they are done, unless only the top is asked for. */
async function sumUp(
  call: Du,
  client: NokvClient,
  directory: Uint8Array,
  {
    card,
    at,
    seen,
    isTop,
  }: { readonly card: Counted; readonly at: AtLike | undefined; readonly seen: Set<number>; readonly isTop: boolean },
): Promise<Sum> {
  const sum = add(nothing(), card, seen);
  try {
    for await (const entry of client.list(directory, { signal: call.signal, at })) {
      const path = childPath(directory, entry.nameBytes);
      const child = mustAttributes({ entry, path });
      if (child.type !== 'directory') {
        add(sum, child, seen);
        continue;
      }
      const below = await sumUp(call, client, path, { card: child, at, seen, isTop: false });
      if (!call.flags.summarize) await tell(call, path, below);
      for (const key of Object.keys(sum) as (keyof Sum)[]) sum[key] += below[key];
    }
  } catch (error) {
    // Removed by someone else between its listing and its turn: it is no longer part of the tree. The past does not change.
    if (isTop || at !== undefined || !(error instanceof NokvError && error.code === 'not-found')) throw error;
  }
  return sum;
}

function add(sum: Sum, { type, size, blocks, nlink, ino }: Counted, seen: Set<number>): Sum {
  if (type === 'directory') sum.directories += 1;
  else if (type === 'file') sum.files += 1;
  else sum.others += 1;
  const isShared = type !== 'directory' && nlink > 1;
  if (isShared && seen.has(ino)) return sum;
  if (isShared) seen.add(ino);
  sum.inodes += 1;
  if (type !== 'file') return sum;
  sum.bytes += size;
  sum.storedBytes += blocks * BLOCK_BYTES;
  return sum;
}

function nothing(): Sum {
  return { bytes: 0, storedBytes: 0, inodes: 0, files: 0, directories: 0, others: 0 };
}

async function tell({ output, flags }: Du, path: Uint8Array, sum: Sum): Promise<void> {
  const size = (bytes: number): string => (flags.humanReadable ? formatSize(bytes) : `${bytes}`).padStart(COLUMN);
  const text = `${size(sum.storedBytes)} ${size(sum.bytes)} ${String(sum.inodes).padStart(COLUMN)}  ${printable(showPath(path))}`;
  if (output.json) await output.object({ path: showPath(path), ...sum });
  else await output.line(text);
}
