/**
 * Whether the disk under the metadata has room beyond a reserve. The store's library can end the process when the disk runs full in
 * the middle of a commit (lmdb 3.5.6 writes its message over the end of a buffer), and removing things takes room itself: so what makes
 * the metadata grow is refused while there is still some left for what makes it smaller.
 *
 * That there is room is believed for {@link LOOK_MS}; that there is none is looked up each time, so that service goes on at once when some
 * was made. Nobody asking costs nothing.
 */
import { statfsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import type { Clock } from '@nokv/types';

const RESERVE_BYTES_MAX = 64 * 1024 * 1024;
/** Of a small disk. */
const RESERVE_SHARE = 0.1;
const LOOK_MS = 200;

interface Space {
  readonly bavail: number;
  readonly blocks: number;
  readonly bsize: number;
}

/** @param directory on the disk in question. @returns whether less than the reserve is left. */
export function watchDiskRoom(directory: string, clock: Clock): () => boolean {
  let isScarce = isScarceNow(directory);
  let lookedMs = clock.monotonicMs();
  let isLooking = false;
  async function look(): Promise<void> {
    // A disk that cannot be asked refuses the commits itself.
    isScarce = await statfs(directory).then(isBelowReserve, () => false);
    lookedMs = clock.monotonicMs();
    isLooking = false;
  }
  return () => {
    if (isScarce) isScarce = isScarceNow(directory);
    else if (!isLooking && clock.monotonicMs() - lookedMs >= LOOK_MS) {
      isLooking = true;
      void look();
    }
    return isScarce;
  };
}

function isScarceNow(directory: string): boolean {
  try {
    return isBelowReserve(statfsSync(directory));
  } catch {
    return false;
  }
}

export function isBelowReserve({ bavail, blocks, bsize }: Space): boolean {
  return bavail * bsize < Math.min(RESERVE_BYTES_MAX, blocks * bsize * RESERVE_SHARE);
}
