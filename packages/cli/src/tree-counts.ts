/** What a transfer of a tree moved, in words. */
import type { TreeReport } from '@nokv/client';
import { formatSize } from './quantities.js';

export function treeCounts({ files, directories, symlinks, links, specials, bytes }: Omit<TreeReport, 'skipped'>): string {
  const rare = [...(links === 0 ? [] : [`${links} hard links`]), ...(specials === 0 ? [] : [`${specials} special files`])];
  return [`${files} files`, `${directories} directories`, `${symlinks} symlinks`, ...rare, formatSize(bytes)].join(', ');
}
