/** What a client keeps of the blocks that it read. */
import { DiskCache, type ReaderFigures } from '@nokv/object';
import { NokvError, type Clock, type Random } from '@nokv/types';

export interface CacheOptions {
  /** Keeps verified blocks on this disk, for this client and every other that is given the same directory; absent: in memory only. */
  readonly directory?: string | undefined;
  /** What the directory may hold; default 10 GiB. */
  readonly bytesMax?: number | undefined;
  /** What its file system must keep free; default a tenth of it, at most 10 GiB. */
  readonly freeBytesMin?: number | undefined;
  /** Blocks kept in memory; default 64 MiB. */
  readonly memoryBytes?: number | undefined;
  /** Bytes fetched ahead of a sequential reader, at most; default 32 MiB, which hides 20 ms of a store. */
  readonly readAheadBytesMax?: number | undefined;
  /** Do not copy blocks into the directory that lie on a disk of this machine already (the server's file store). Default false. */
  readonly skipLocal?: boolean | undefined;
  /** One line when the directory cannot be used as it should; reads go on without it. */
  readonly note?: ((line: string) => void) | undefined;
}

/** What reading has cost this client so far: memory, disk cache and store. */
export type CacheFigures = ReaderFigures;

/** Errors: `invalid-argument`. The directory is not touched. */
export function openDiskCache(options: CacheOptions, clock: Clock, random: Random): DiskCache | undefined {
  const { directory, bytesMax, freeBytesMin, note } = options;
  const { memoryBytes, readAheadBytesMax } = options;
  for (const [name, value] of Object.entries({ bytesMax, freeBytesMin, memoryBytes, readAheadBytesMax })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new NokvError('invalid-argument', `cache.${name}: expected 0 or more whole bytes, found ${value}`);
  }
  if (directory === undefined || bytesMax === 0) return undefined;
  if (directory === '') throw new NokvError('invalid-argument', 'cache.directory: expected a directory, found nothing');
  return new DiskCache({ directory, bytesMax, freeBytesMin, note, clock, random });
}
