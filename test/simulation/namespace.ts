/** The namespace as text, from the shard and from the plain filesystem: equal texts, equal trees. */
import type { ShardEngine } from '@nokv/meta';
import type { ModelNode } from '@nokv/meta/testing';
import { isHole, type Body, type ReadOperation, type ReadOperations, type ReadResult, type UploadId } from '@nokv/types';
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

/** One line an entry. Symlinks keep no mode; the links of what is in the trash still count for a while, so links are left out. */
export function shardTree(engine: ShardEngine, blockText: BlockText): string {
  const lines: string[] = [];
  const walk = (path: string): void => {
    const { entries, more } = readNow(engine, 'list', { node: at(path), limit: 100, attributes: true });
    if (more) throw new Error(`${path} holds more than a simulation makes`);
    for (const { name, attributes } of entries) {
      const child = `${path === '/' ? '' : path}/${Buffer.from(name).toString()}`;
      if (attributes === undefined) throw new Error(`${child} is listed without attributes`);
      const xattrs = readNow(engine, 'stat', { node: at(child), follow: false }).xattrs.map((each) => Buffer.from(each).toString());
      switch (attributes.type) {
        case 'directory':
          lines.push(line(child, attributes.mode, xattrs, '/'));
          walk(child);
          break;
        case 'symlink':
          lines.push(line(child, 0, [], `-> ${Buffer.from(readNow(engine, 'readlink', { node: at(child) }).target).toString()}`));
          break;
        default:
          lines.push(line(child, attributes.mode, xattrs, JSON.stringify(textOfBody(openBody(engine, child), blockText))));
      }
    }
  };
  walk('/');
  return lines.join('\n');
}

export function modelTree(root: ModelNode): string {
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
  walk('', root);
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

/** Reads what is visible, which the engine answers at once. */
export function readNow<Op extends ReadOperation>(engine: ShardEngine, operation: Op, args: ReadOperations[Op]['args']): ReadResult<Op> {
  const answer = engine.read(operation, args, { visible: true });
  if (answer instanceof Promise) throw new Error(`${operation} of what is visible did not answer at once`);
  return answer;
}

function openBody(engine: ShardEngine, path: string): Body {
  return readNow(engine, 'open-read', { node: { ...at(path) } }).body;
}

function line(path: string, mode: number, xattrs: readonly string[], rest: string): string {
  return `${path} ${mode.toString(8)} [${xattrs.join(' ')}] ${rest}`;
}
