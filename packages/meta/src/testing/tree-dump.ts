/** A subtree as plain data, through the read operations: what two states are compared by. */
import { formatName, type At, type InodeNumber } from '@nokv/types';
import { at, type TestShard } from './test-shard.js';

export interface DumpedNode {
  readonly type: string;
  readonly mode: number;
  readonly nlink: number;
  readonly size: number;
  readonly mtime: string;
  readonly text?: string;
  readonly target?: string;
  readonly xattrs: Readonly<Record<string, string>>;
  readonly children?: Readonly<Record<string, DumpedNode>>;
}

export interface DumpOptions {
  readonly at?: At | undefined;
  /** Names seen under each inode number are noted here. */
  readonly places?: Map<InodeNumber, string[]>;
  /** Entries a page. */
  readonly limit?: number;
}

export async function dump(shard: TestShard, path: string, options: DumpOptions = {}): Promise<DumpedNode> {
  const moment = options.at === undefined ? {} : { at: options.at };
  const card = await shard.read('stat', { node: at(path), follow: false, ...moment });
  const xattrs: Record<string, string> = {};
  for (const name of card.xattrs) {
    const { value } = await shard.read('xattr-get', { node: { ino: card.ino }, name, ...moment });
    xattrs[formatName(name)] = Buffer.from(value).toString();
  }
  options.places?.set(card.ino, [...(options.places.get(card.ino) ?? []), path]);
  const node = {
    type: card.type,
    mode: card.mode,
    nlink: card.nlink,
    size: card.size,
    mtime: `${card.mtime.sec}.${card.mtime.nsec}`,
    xattrs,
  };
  if (card.type === 'symlink') return { ...node, target: formatName(card.target ?? new Uint8Array(0)) };
  if (card.type === 'directory') return { ...node, children: await children(shard, path, options, moment) };
  if (card.type !== 'file') return node;
  const { body } = await shard.read('open-read', { node: { ino: card.ino }, ...moment });
  return { ...node, text: body.kind === 'inline' ? Buffer.from(body.bytes).toString() : JSON.stringify(body.manifest) };
}

async function children(
  shard: TestShard,
  path: string,
  options: DumpOptions,
  moment: { readonly at?: At },
): Promise<Record<string, DumpedNode>> {
  const found: Record<string, DumpedNode> = {};
  for (let after: Uint8Array | undefined; ;) {
    const from = after === undefined ? {} : { after };
    const page = await shard.read('list', { node: at(path), limit: options.limit ?? 7, attributes: true, ...from, ...moment });
    for (const { name } of page.entries) {
      found[formatName(name)] = await dump(shard, `${path === '/' ? '' : path}/${formatName(name)}`, options);
    }
    after = page.entries.at(-1)?.name;
    if (!page.more || after === undefined) return found;
  }
}
