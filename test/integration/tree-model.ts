/** Small trees, random edits of them, and all that can be seen of one, for tests against models. */
import type { AtLike, NokvClient } from '@nokv/client';
import { isNokvError } from '@nokv/types';
import fc from 'fast-check';

export interface Node {
  readonly type: string;
  readonly body: string;
  /** What rows call attributes, as text each. */
  readonly attributes: Readonly<Record<string, string>>;
}
export type Tree = ReadonlyMap<string, Node>;
export interface Point {
  readonly path: string;
  readonly at?: AtLike;
}

/** Few names, so that edits meet. */
export const NAMES = ['a', 'b', 'c'];
/** There from the beginning, so that most edits meet something. */
export const DIRECTORIES = ['a', 'a/a', 'a/b', 'b', 'b/a', 'b/a/a'];
export const FILES = ['c', 'a/c', 'a/a/a', 'a/a/b', 'a/b/c', 'b/c', 'b/a/c', 'b/b'];
export const path = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...DIRECTORIES, ...FILES) },
  { weight: 2, arbitrary: fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }).map((names) => names.join('/')) },
);
export const edit = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant('put' as const), path, fc.constantFrom('', 'one', 'two', 'x'.repeat(20_000))) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('mkdir' as const), path, fc.constant('')) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('rename' as const), path, path) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('remove' as const), path, fc.constant('')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('exchange' as const), path, path) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('link' as const), path, path) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('symlink' as const), path, fc.constantFrom('t', 'u')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('chmod' as const), path, fc.constantFrom('600', '755', '640')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('chown' as const), path, fc.constantFrom('1', '2')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('touch' as const), path, fc.constantFrom('1000', '2000')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('xattr' as const), path, fc.constantFrom('v', 'w')) },
);
export const edits = fc.array(edit, { minLength: 10, maxLength: 30, size: 'max' });

/** Refusals of the namespace are part of the game; anything else fails the test. */
export async function apply(client: NokvClient, root: string, [what, at, value]: [string, string, string]): Promise<void> {
  const place = `${root}/${at}`;
  const acts: Record<string, () => Promise<unknown>> = {
    put: () => client.put(place, value),
    mkdir: () => client.mkdir(place),
    rename: () => client.rename(place, `${root}/${value}`),
    exchange: () => client.rename(place, `${root}/${value}`, { mode: 'exchange' }),
    remove: () => client.removeTree(place),
    link: () => client.link(place, `${root}/${value}`),
    symlink: () => client.symlink(value, place),
    chmod: () => client.setattr(place, { mode: Number.parseInt(value, 8) }, { follow: false }),
    chown: () => client.chown(place, Number(value), 0, { follow: false }),
    touch: () => client.utimes(place, 'now', { sec: Number(value), nsec: 0 }, { follow: false }),
    xattr: () => client.setXattr(place, 'user.k', value),
  };
  try {
    await acts[what]?.();
  } catch (error) {
    if (!isNokvError(error) || ['internal', 'corrupt', 'unavailable'].includes(error.kind)) throw error;
  }
}

export async function treeAt(client: NokvClient, root: string, at: AtLike | undefined): Promise<Tree> {
  const tree = new Map<string, Node>();
  const visit = async (place: string, below: string): Promise<void> => {
    const card = await client.stat(place, { at, follow: false });
    const isDirectory = card.type === 'directory';
    const xattrs: string[] = [];
    for (const name of card.xattrs) {
      xattrs.push(
        Buffer.from(name).toString(),
        card.type === 'symlink' ? '' : Buffer.from(await client.getXattr(place, name, { at })).toString(),
      );
    }
    tree.set(below, {
      type: card.type,
      body: card.type === 'file' ? `${card.size} ${card.digest ?? ''}` : '',
      attributes: {
        mode: `${card.mode}`,
        owner: `${card.uid}:${card.gid}`,
        mtime: isDirectory ? '' : `${card.mtime.sec}.${card.mtime.nsec}`,
        xattrs: xattrs.join(' '),
        target: card.target === undefined ? '' : Buffer.from(card.target).toString(),
        device: `${card.rdev}`,
      },
    });
    if (!isDirectory) return;
    for await (const { name } of client.list(place, { at })) await visit(`${place}/${name}`, below === '' ? name : `${below}/${name}`);
  };
  await visit(root, '');
  return tree;
}

/** The tree that every test begins with. */
export async function makeTree(client: NokvClient, root: string): Promise<void> {
  await client.mkdir(root);
  for (const each of DIRECTORIES) await client.mkdir(`${root}/${each}`);
  for (const each of FILES) await client.put(`${root}/${each}`, each);
}
