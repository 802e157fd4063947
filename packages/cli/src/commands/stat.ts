import { formatTimespec, type NodeCard } from '@nokv/types';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { type EntryJson, entryJson, modeLetters } from '../entry-json.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { formatSize } from '../quantities.js';
import { remotePaths, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';

export async function stat(call: CallOf<typeof transferCommands.stat>): Promise<void> {
  const paths = remotePaths(call.args.paths);
  await using client = await connectClient(call);
  const options = { signal: call.signal, follow: call.flags.dereference };
  const cards = mapInOrder(paths, 64, async (path) => ({ path: showPath(path), card: await client.stat(path, options) }));
  for await (const { path, card } of cards) {
    if (call.output.json) await call.output.object(entryJson(path, card));
    else await call.output.line(describe(entryJson(path, card), card));
  }
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
    ...(entry.type === 'file' ? [['stored', entry.inline ? 'with the metadata' : `${entry.blocks * 512} bytes in blocks`] as const] : []),
  ];
  return columns(rows.map(([name, text]) => [name, printable(text)])).join('\n');
}
