/** Contradictions between the rows of a store that is at rest: what the passes of fsck find, as text. */
import { ROOT_INODE, STAGING_INODE, TRASH_INODE, type InodeNumber } from '@nokv/types';
import { FsckContext } from '../fsck/context.js';
import { ROW_PASSES } from '../fsck/passes.js';
import { FAMILY, inodeKey } from '../key.js';
import type { KvReader } from '../ordered-kv.js';
import { readU64 } from '../row-reader.js';

export function contradictions(kv: KvReader): string[] {
  // A store that no shard was made in yet.
  if ([...kv.range(Uint8Array.of(0), Uint8Array.of(255), { limit: 1 })].length === 0) return [];
  const context = new FsckContext(kv, kv, [ROOT_INODE, STAGING_INODE, TRASH_INODE], () => 0);
  for (const { run } of ROW_PASSES) {
    const steps = run(context, undefined);
    // Ends with the pass.
    while (steps.next().done !== true);
  }
  return context.problems.map(({ class: kind, where, expected, found }) => `${kind}: ${where}: expected ${expected}, found ${found}`);
}

/** The history rows of an inode: replaced-at version and birth of each old value, oldest first. */
export function historyOf(kv: KvReader, ino: InodeNumber): { readonly replaced: number; readonly birth: number }[] {
  const key = inodeKey(ino);
  const start = Buffer.concat([Uint8Array.of(FAMILY.history), key, Uint8Array.of(0)]);
  const end = Buffer.concat([Uint8Array.of(FAMILY.history), key, Uint8Array.of(1)]);
  return [...kv.range(start, end)].map((row) => ({ replaced: readU64(row.key, row.key.length - 8), birth: readU64(row.value, 0) }));
}
