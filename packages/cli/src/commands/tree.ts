import type { AtLike, DirectoryEntry, NokvClient } from '@nokv/client';
import { PATH_BYTES_MAX, formatName } from '@nokv/types';
import { addressOf, atOf } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { entryJson } from '../entry-json.js';
import { printable } from '../printable.js';
import { childPath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { mustAttributes, walk } from '../walk.js';

export async function tree(call: CallOf<typeof transferCommands.tree>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const { path: root } = address;
  await using client = await connectClient(call);
  const at = await atOf(call, client, address);
  if (call.output.json) return await listTree(call, client, root, at);
  await call.output.line(printable(showPath(root)));
  const count: Count = { directories: 0, others: 0 };
  await draw(call, client, root, { indent: '', levels: call.flags.level ?? PATH_BYTES_MAX, count, at });
  await call.output.line(`\n${count.directories} directories, ${count.others} files`);
}

type Tree = CallOf<typeof transferCommands.tree>;
interface Count {
  directories: number;
  others: number;
}

async function listTree({ output, signal, flags }: Tree, client: NokvClient, root: Uint8Array, at: AtLike | undefined): Promise<void> {
  for await (const walked of walk(client, root, { signal, levels: flags.level, at })) {
    const isBare = walked.entry.type !== 'file' && walked.entry.type !== 'symlink';
    const card = isBare ? mustAttributes(walked) : await client.stat(walked.path, { signal, follow: false, at });
    await output.object(entryJson(showPath(walked.path), card));
  }
}

async function draw(
  call: Tree,
  client: NokvClient,
  directory: Uint8Array,
  options: { readonly indent: string; readonly levels: number; readonly count: Count; readonly at: AtLike | undefined },
): Promise<void> {
  const { indent, levels, count, at } = options;
  const print = async (entry: DirectoryEntry, isLast: boolean) => {
    const path = childPath(directory, entry.nameBytes);
    const isDirectory = entry.type === 'directory';
    count[isDirectory ? 'directories' : 'others'] += 1;
    const target = entry.type === 'symlink' ? ` -> ${printable(formatName(await client.readlink(path, { signal: call.signal, at })))}` : '';
    await call.output.line(`${indent}${isLast ? '└── ' : '├── '}${printable(entry.name)}${isDirectory ? '/' : target}`);
    if (isDirectory && levels > 1)
      await draw(call, client, path, { indent: `${indent}${isLast ? '    ' : '│   '}`, levels: levels - 1, count, at });
  };
  // One entry is held back, since the last of a directory is drawn with a corner.
  let held: DirectoryEntry | undefined;
  for await (const entry of client.list(directory, { signal: call.signal, at })) {
    if (held !== undefined) await print(held, false);
    held = entry;
  }
  if (held !== undefined) await print(held, true);
}
