/** The generations of a file that are kept, newest first. */
import { NokvError, type LogResult, type LogRow, type ReadOperations } from '@nokv/types';
import type { ReadView } from '../read-view.js';
import { describe, isDirectory, resolveInode } from '../resolve.js';
import { HistoryReader } from './history-view.js';

const PAGE_MAX = 1000;

export function log(reader: ReadView, { node, before, limit }: ReadOperations['log']['args']): LogResult {
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${PAGE_MAX} generations, found limit ${limit}`);
  }
  const inode = resolveInode(reader, node, true);
  if (inode.type === 'directory') throw isDirectory(node);
  if (inode.type !== 'file') throw new NokvError('not-regular-file', `${describe(node)} is a ${inode.type}; only files have generations`);
  const rows: LogRow[] = [];
  for (const { generation, head } of new HistoryReader(reader.view, reader.root).bodyHeads(inode.ino)) {
    if (before !== undefined && generation >= before) break;
    const { ordinal, size, actor, time, digest, contentType, producer } = head;
    rows.push({
      generation,
      ordinal,
      size,
      ...(digest === undefined ? {} : { digest }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(producer === undefined ? {} : { producer }),
      actor,
      time,
      isCurrent: generation === inode.generation,
    });
  }
  return { ino: inode.ino, rows: rows.slice(-limit).reverse(), more: rows.length > limit };
}
