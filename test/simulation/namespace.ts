/** The namespace as text, from the shard and from the plain filesystem: equal texts, equal trees. */
import type { ShardEngine } from '@nokv/meta';
import type { ModelNode } from '@nokv/meta/testing';
import {
  isHole,
  type At,
  type Body,
  type ListEntry,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
  type UploadId,
} from '@nokv/types';
import { at } from './operations.js';

/** What a block holds, whether or not the store still has it. */
export type BlockText = (upload: UploadId, index: number) => string;

export function textOfBody(body: Body, blockText: BlockText): string {
  if (body.kind === 'inline') return Buffer.from(body.bytes).toString();
  let text = '';
  for (const extent of body.manifest.extents) {
    text += isHole(extent)
      ? '\0'.repeat(extent.take)
      : blockText(extent.upload, extent.index).slice(extent.skip, extent.skip + extent.take);
  }
  return text;
}

/** Told where a read of what is visible has to wait: a fork takes over first what is looked at. */
class Waits extends Error {}

/**
 * One line an entry, as all see it now; undefined where a part of it is not ready to be looked at. Symlinks keep no mode; the links of
 * what is in the trash still count for a while, so links are left out.
 */
export function shardTreeNow(engine: ShardEngine, blockText: BlockText): string | undefined {
  const lines: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readNow(engine, 'list', { node: at(path), limit: 200, attributes: true }).entries) {
      const child = childOf(path, entry.name);
      const node = { node: at(child) };
      lines.push(
        lineOf(child, entry, {
          xattrs: () => readNow(engine, 'stat', { ...node, follow: false }).xattrs,
          target: () => readNow(engine, 'readlink', node).target,
          body: () => textOfBody(readNow(engine, 'open-read', node).body, blockText),
        }),
      );
      if (entry.type === 'directory') walk(child);
    }
  };
  try {
    walk('/');
  } catch (error) {
    if (error instanceof Waits) return undefined;
    throw error;
  }
  return lines.join('\n');
}

/** The same below a path at a moment, read step by step. @param read asks and waits; whoever died does not come back. */
export async function shardTreeAt(path: string, moment: At, read: AskAndWait, blockText: BlockText): Promise<string> {
  const lines: string[] = [];
  const walk = async (where: string): Promise<void> => {
    const { entries } = await read('list', { node: at(where), limit: 200, attributes: true, at: moment });
    for (const entry of entries) {
      const child = childOf(where, entry.name);
      const ask = { node: { ino: entry.ino }, at: moment };
      const { xattrs, target } = await read('stat', { ...ask, follow: false });
      const text = entry.type === 'file' ? textOfBody((await read('open-read', ask)).body, blockText) : '';
      lines.push(lineOf(child, entry, { xattrs: () => xattrs, target: () => target ?? new Uint8Array(0), body: () => text }));
      if (entry.type === 'directory') await walk(child);
    }
  };
  await walk(path);
  return lines.join('\n');
}

export type AskAndWait = <Op extends ReadOperation>(operation: Op, args: ReadOperations[Op]['args']) => Promise<ReadResult<Op>>;

function childOf(path: string, name: Uint8Array): string {
  return `${path === '/' ? '' : path}/${Buffer.from(name).toString()}`;
}

interface Rest {
  readonly xattrs: () => readonly Uint8Array[];
  readonly target: () => Uint8Array;
  readonly body: () => string;
}

function lineOf(path: string, { attributes, type }: ListEntry, { xattrs, target, body }: Rest): string {
  if (attributes === undefined) throw new Error(`${path} is listed without attributes`);
  if (type === 'symlink') return line(path, 0, [], `-> ${Buffer.from(target()).toString()}`);
  const names = xattrs().map((each) => Buffer.from(each).toString());
  return line(path, attributes.mode, names, type === 'directory' ? '/' : JSON.stringify(body()));
}

/** @param at path of `root`, without a slash at its end. */
export function modelTree(root: ModelNode, at_ = ''): string {
  const lines: string[] = [];
  const walk = (path: string, node: ModelNode): void => {
    if (node.type !== 'directory') return;
    for (const [name, child] of [...node.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const where = `${path}/${name}`;
      const xattrs = [...child.xattrs.keys()].sort();
      if (child.type === 'directory') lines.push(line(where, child.mode, xattrs, '/'));
      else if (child.type === 'symlink') lines.push(line(where, 0, [], `-> ${child.target}`));
      else lines.push(line(where, child.mode, xattrs, JSON.stringify(child.text)));
      walk(where, child);
    }
  };
  walk(at_, root);
  return lines.join('\n');
}

/** The first difference of two texts, short. */
export function difference(found: string, expected: string): string | undefined {
  if (found === expected) return undefined;
  const a = found.split('\n');
  const b = expected.split('\n');
  const i = a.findIndex((each, at_) => each !== b[at_]);
  return `the shard shows ${JSON.stringify(a[i < 0 ? a.length : i] ?? 'an end')}, a plain filesystem ${JSON.stringify(b[i < 0 ? a.length : i] ?? 'an end')}`;
}

/** Reads what is visible. */
function readNow<Op extends ReadOperation>(engine: ShardEngine, operation: Op, args: ReadOperations[Op]['args']): ReadResult<Op> {
  const answer = engine.read(operation, args, { visible: true });
  if (answer instanceof Promise) {
    answer.catch(() => undefined);
    throw new Waits();
  }
  return answer;
}

function line(path: string, mode: number, xattrs: readonly string[], rest: string): string {
  return `${path} ${mode.toString(8)} [${xattrs.join(' ')}] ${rest}`;
}
