/**
 * Something looked into a directory of a fork where that still shows its origin. No refusal: whoever asked makes the directory take
 * over what was asked for (`materialise.ts`) and asks again. Never leaves the shard.
 */
import { formatName, type InodeNumber } from '@nokv/types';

export class Unmaterialised extends Error {
  override readonly name = 'Unmaterialised';
  readonly directory: InodeNumber;
  /** One entry, or undefined for the next ones in order. */
  readonly entry: Uint8Array | undefined;

  constructor(directory: InodeNumber, entry: Uint8Array | undefined) {
    super(`directory inode ${directory} still shows its origin${entry === undefined ? '' : ` for ${formatName(entry)}`}`);
    this.directory = directory;
    this.entry = entry;
  }
}
