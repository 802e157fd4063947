/** The progress of the shard as a check finds it; undefined where its row is missing or cannot be read, which the pass over the logs names. */
import { SYSTEM_ITEM, systemKey } from '../key.js';
import { decodeProgress, type ProgressRow } from '../value-log.js';
import type { FsckContext } from './context.js';

export function progressOf(context: FsckContext): ProgressRow | undefined {
  const row = context.kv.get(systemKey(SYSTEM_ITEM.progress));
  try {
    return row === undefined ? undefined : decodeProgress(row);
  } catch {
    return undefined;
  }
}
