/** What is different between two nodes of the same place: body, kind, attributes. */
import type { DiffAttribute, DiffNode } from '@nokv/types';
import { encodeBody, type BodyRow } from '../value-body.js';
import type { Inode } from '../value-inode.js';
import type { DiffTreeNode } from './diff-node.js';

export interface Compared {
  /** Another body, or another type of node. */
  readonly isModified: boolean;
  readonly attributes: readonly DiffAttribute[];
}

export function compareNodes(a: DiffTreeNode, inodeA: Inode, b: DiffTreeNode, inodeB: Inode): Compared {
  const attributes: DiffAttribute[] = [];
  if (inodeA.mode !== inodeB.mode) attributes.push('mode');
  if (inodeA.uid !== inodeB.uid || inodeA.gid !== inodeB.gid) attributes.push('owner');
  const isDirectory = inodeA.type === 'directory' || inodeB.type === 'directory';
  if (!isDirectory && (inodeA.mtime.sec !== inodeB.mtime.sec || inodeA.mtime.nsec !== inodeB.mtime.nsec)) attributes.push('mtime');
  if (!isSameXattrs(a, inodeA, b, inodeB)) attributes.push('xattrs');
  if (inodeA.type !== inodeB.type) return { isModified: true, attributes };
  if (inodeA.type === 'symlink' && Buffer.compare(inodeA.target, inodeB.target) !== 0) attributes.push('target');
  if (inodeA.rdev !== inodeB.rdev) attributes.push('device');
  return { isModified: inodeA.type === 'file' && !isSameBody(a, inodeA, b, inodeB), attributes };
}

export function diffNode({ view, ino }: DiffTreeNode, inode: Inode): DiffNode {
  const { type, size, mode, generation } = inode;
  const digest = generation === 0 ? undefined : view.bodyHead(ino, generation)?.digest;
  return { ino, type, size, mode, generation, ...(digest === undefined ? {} : { digest }) };
}

function isSameBody(a: DiffTreeNode, inodeA: Inode, b: DiffTreeNode, inodeB: Inode): boolean {
  if (a.ino === b.ino && inodeA.generation === inodeB.generation) return true;
  if (inodeA.size !== inodeB.size) return false;
  if (inodeA.size === 0) return true;
  const bodyA = a.view.body(a.ino, inodeA.generation);
  const bodyB = b.view.body(b.ino, inodeB.generation);
  if (bodyA === undefined || bodyB === undefined) return false;
  // Nobody can tell what was lost; the same generation is all there is to go by.
  if (bodyA.lost !== undefined || bodyB.lost !== undefined) return inodeA.generation === inodeB.generation;
  if (bodyA.digest !== undefined && bodyA.digest === bodyB.digest) return true;
  return Buffer.compare(bytesOf(bodyA), bytesOf(bodyB)) === 0;
}

/** The body alone, without who published it when. */
function bytesOf({ body }: BodyRow): Buffer {
  return encodeBody({
    birth: 0 as BodyRow['birth'],
    time: { sec: 0, nsec: 0 },
    ordinal: 0,
    actor: '',
    digest: undefined,
    contentType: undefined,
    producer: undefined,
    body,
  });
}

function isSameXattrs(a: DiffTreeNode, inodeA: Inode, b: DiffTreeNode, inodeB: Inode): boolean {
  if (inodeA.xattrListBytes !== inodeB.xattrListBytes) return false;
  if (inodeA.xattrListBytes === 0) return true;
  const others = [...b.view.xattrs(b.ino)];
  let at = 0;
  for (const { name, value } of a.view.xattrs(a.ino)) {
    const other = others[at++];
    if (other === undefined || Buffer.compare(name, other.name) !== 0 || Buffer.compare(value, other.value) !== 0) return false;
  }
  return at === others.length;
}
