/**
 * What is noted on this machine of an upload of a local file, so that a later put goes on where this one ended, however it ended.
 *
 * Lines of JSON, only ever appended: first what is sent where ({@link Heading}), then one line for each block that is stored. A line that
 * is cut short is left out.
 *
 * What a later run relies on: the file's device, inode, size and times are the same (the kernel moves the change time with every
 * write, and no program sets it back), each block read again has the length and crc32c that were noted, and the server still has the
 * upload. Else all is sent anew. The digest that is published is computed over what is read in the run that publishes, and the publish
 * compares every block with the store. Nothing here is secret: the ticket is asked for again.
 */
import { mkdir, open, readFile, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BlockPlace, StoredBlock } from '@nokv/object';
import { uploadId, type UploadId } from '@nokv/types';
import { localError } from '../local-error.js';
import type { FileIdentity } from './local-file-source.js';

export const UPLOAD_NOTES_FORMAT = 1;
/** A line for each of a million blocks. */
const FILE_BYTES_MAX = 128 * 1024 * 1024;

interface Heading extends FileIdentity {
  readonly format: number;
  readonly upload: UploadId;
  readonly target: string;
  readonly blockBytes: number;
  /** How blocks are compressed, or `none`. */
  readonly compress: string;
}

interface NotedBlock extends BlockPlace {
  readonly stored: StoredBlock;
}

export class UploadNotes {
  readonly #path: string;
  readonly #heading: Omit<Heading, 'upload'>;
  /** By their places. */
  readonly #blocks = new Map<number, NotedBlock>();
  #earlier: UploadId | undefined;
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, heading: Omit<Heading, 'upload'>) {
    this.#path = path;
    this.#heading = heading;
  }

  /** @param isResumed false: what an earlier run noted does not count. */
  static async open(
    path: string,
    isResumed: boolean,
    { identity, ...rest }: Pick<Heading, 'target' | 'blockBytes' | 'compress'> & { readonly identity: FileIdentity },
  ): Promise<UploadNotes> {
    const notes = new UploadNotes(path, { format: UPLOAD_NOTES_FORMAT, ...identity, ...rest });
    if (isResumed) await notes.#read();
    return notes;
  }

  /** The upload that an earlier run left open. */
  get earlier(): UploadId | undefined {
    return this.#earlier;
  }

  /** The upload is gone: what was noted of it counts no more. */
  forget(): void {
    this.#earlier = undefined;
    this.#blocks.clear();
  }

  /** Before the first block is sent. */
  async begun(upload: UploadId): Promise<void> {
    const goesOn = this.#earlier === upload;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      this.#file = await open(this.#path, goesOn ? 'a' : 'w', 0o600);
      // A line of its own, also behind one that was cut short.
      await this.#file.appendFile(goesOn ? '\n' : `${JSON.stringify({ ...this.#heading, upload })}\n`);
    } catch (error) {
      throw localError(error, `note the upload in ${this.#path}`);
    }
  }

  /** As what this very block was stored, by its place and its bytes. */
  storedBefore({ position, length, crc32c }: BlockPlace): StoredBlock | undefined {
    const noted = this.#blocks.get(position);
    return noted !== undefined && noted.length === length && noted.crc32c === crc32c ? noted.stored : undefined;
  }

  /** A block that cannot be noted (the disk is full) is sent again by a later run. */
  stored({ position, length, crc32c }: BlockPlace, stored: StoredBlock): Promise<void> {
    const line = `${JSON.stringify({ position, length, crc32c, stored })}\n`;
    this.#writing = this.#writing.then(() => this.#file?.appendFile(line)).catch(() => undefined);
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Nothing will go on from here. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  async #read(): Promise<void> {
    const [heading, ...blocks] = await readLines(this.#path);
    if (!isHeading(heading) || !isSame(heading, this.#heading)) return;
    this.#earlier = heading.upload;
    for (const block of blocks) if (isBlock(block)) this.#blocks.set(block.position, block);
  }
}

/** Lines that are no JSON are left out; a file that cannot be read is none. */
async function readLines(path: string): Promise<readonly unknown[]> {
  let text: string;
  try {
    if ((await stat(path)).size > FILE_BYTES_MAX) return [];
    text = await readFile(path, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line): unknown[] => {
    try {
      return line === '' ? [] : [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

function isSame(noted: Heading, now: Omit<Heading, 'upload'>): boolean {
  return (Object.keys(now) as (keyof typeof now)[]).every((key) => noted[key] === now[key]);
}

function isHeading(line: unknown): line is Heading {
  if (typeof line !== 'object' || line === null || !('upload' in line) || typeof line.upload !== 'string') return false;
  try {
    uploadId(line.upload);
    return true;
  } catch {
    return false;
  }
}

function isBlock(line: unknown): line is NotedBlock {
  if (typeof line !== 'object' || line === null) return false;
  const { position, length, crc32c, stored } = line as Partial<Record<string, unknown>>;
  if (![position, length, crc32c].every(isCount) || typeof stored !== 'object' || stored === null) return false;
  const { length: storedLength, crc32c: storedCrc32c, compression } = stored as Partial<Record<string, unknown>>;
  if (![storedLength, storedCrc32c].every(isCount)) return false;
  if (compression === undefined) return true;
  if (typeof compression !== 'object' || compression === null) return false;
  const { codec, plainLength, plainCrc32c } = compression as Partial<Record<string, unknown>>;
  return typeof codec === 'string' && plainLength === length && plainCrc32c === crc32c;
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
