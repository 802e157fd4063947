import type { AtLike, NokvClient } from '@nokv/client';
import { READ_MANY_MAX, formatTimespec, type NodeCard } from '@nokv/types';
import { type Address, addressesOf, atOf, readingAddress } from '../address.js';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { type EntryJson, entryJson, modeLetters } from '../entry-json.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { formatSize } from '../quantities.js';
import { showPath } from '../remote-path.js';
import { tagOfXattr } from '../tags.js';
import type { transferCommands } from '../table/transfer-commands.js';

type Stat = CallOf<typeof transferCommands.stat>;

interface Asked {
  readonly path: string;
  readonly card: NodeCard;
  readonly address: Address;
  readonly at: AtLike | undefined;
}

export async function stat(call: Stat): Promise<void> {
  const addresses = addressesOf(call, call.args.paths);
  await using client = await connectClient(call);
  for await (const asked of cardsOf(call, client, addresses)) {
    const { path, card } = asked;
    const entry = { ...entryJson(path, card), tags: await tagsOf(call, client, asked) };
    if (call.output.json) await call.output.object(entry);
    else await call.output.line(describe(entry, card));
  }
}

/** Of now many in one request; a moment may be another for each. */
async function* cardsOf(call: Stat, client: NokvClient, addresses: readonly Address[]): AsyncGenerator<Asked> {
  const options = { signal: call.signal, follow: call.flags.dereference };
  if (addresses.every(({ moment }) => moment === undefined)) {
    for (let from = 0; from < addresses.length; from += READ_MANY_MAX) {
      const asked = addresses.slice(from, from + READ_MANY_MAX);
      const paths = asked.map(({ path }) => path);
      const cards = await client.statMany(paths, options);
      for (const [at, address] of asked.entries()) {
        const card = cards[at];
        if (card?.ok === true) yield { path: showPath(address.path), card: card.value, address, at: undefined };
        else await readingAddress(address, () => Promise.reject(card?.error));
      }
    }
    return;
  }
  yield* mapInOrder(addresses, 64, async (address) => {
    const { path } = address;
    const at = await atOf(call, client, address);
    return {
      path: showPath(path),
      card: await readingAddress(address, async () => await client.stat(path, { ...options, at })),
      address,
      at,
    };
  });
}

/** What `put --tag` set; asked for where the card names any. A symlink has none of its own. */
async function tagsOf(
  { signal }: Stat,
  client: NokvClient,
  { card, address: { path }, at }: Asked,
): Promise<Readonly<Record<string, string>>> {
  if (card.type !== 'file') return {};
  const names = card.xattrs.map((name) => Buffer.from(name).toString()).filter((name) => tagOfXattr(name) !== undefined);
  const values = await Promise.all(names.map(async (name) => await client.getXattr(path, name, { signal, at })));
  return Object.fromEntries(names.map((name, i) => [tagOfXattr(name) ?? '', Buffer.from(values[i] ?? []).toString()]));
}

function describe(entry: EntryJson, card: NodeCard): string {
  const rows: (readonly [string, string])[] = [
    ['path', entry.target === null ? entry.path : `${entry.path} -> ${entry.target}`],
    ['type', entry.type],
    ['inode', `${entry.inode}`],
    ['mode', `${entry.mode} ${modeLetters(card)}`],
    ['owner', `${entry.uid}:${entry.gid}`],
    ['links', `${entry.nlink}`],
    ['size', entry.size < 1024 ? `${entry.size}` : `${entry.size} (${formatSize(entry.size)})`],
    ...(entry.type === 'directory' ? [['entries', `${card.children}`] as const] : []),
    ['modified', formatTimespec(card.mtime)],
    ['changed', formatTimespec(card.ctime)],
    ['accessed', formatTimespec(card.atime)],
    ...(entry.generation === 0 ? [] : [['generation', `${entry.generation} (body ${entry.ordinal} of this file)`] as const]),
    ...(entry.digest === null ? [] : [['digest', entry.digest] as const]),
    ...(entry.contentType === null ? [] : [['content type', entry.contentType] as const]),
    ...Object.entries(entry.tags).map(([key, value]) => ['tag', `${key}=${value}`] as const),
    ...(entry.type === 'file' ? [['stored', entry.inline ? 'with the metadata' : `${entry.blocks * 512} bytes in blocks`] as const] : []),
  ];
  return columns(rows.map(([name, text]) => [name, printable(text)])).join('\n');
}
