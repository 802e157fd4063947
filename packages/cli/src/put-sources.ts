/** What `put` is given: files, directories and standard input, looked at before anything is sent. */
import type { BigIntStats } from 'node:fs';
import { opendir, stat as statLocal } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { NokvError, formatName, parseName } from '@nokv/types';
import { localFailure } from './local-failure.js';
import { localFileOf, type LocalFile } from './local-file.js';
import { nameOfLocal } from './remote-path.js';
import { usageError } from './usage-error.js';

export type Source =
  | { readonly kind: 'stdin' }
  | ({ readonly kind: 'file'; readonly shown: string; readonly name: Uint8Array } & LocalFile)
  | { readonly kind: 'directory'; readonly directory: string; readonly name: Uint8Array };

export type FileSource = Exclude<Source, { readonly kind: 'directory' }>;

/** @param text as it was written; odd bytes of a name, which no argument can carry, as `\xHH`. */
export async function readSource(cwd: string, text: string, isRecursive: boolean): Promise<Source> {
  if (text === '-') return { kind: 'stdin' };
  const { file, found } = await look(cwd, text);
  const name = typeof file === 'string' ? nameOfLocal(basename(file)) : file.subarray(file.lastIndexOf('/') + 1);
  if (found.isDirectory()) {
    if (!isRecursive) throw new NokvError('is-directory', `${text}: is a directory; use -r, or put-artifact to publish it at once`);
    if (typeof file === 'string') return { kind: 'directory', directory: file, name };
    throw usageError(`${text}: a directory whose own path is not UTF-8; put the directory that it is in, or rename it`);
  }
  if (!found.isFile())
    throw new NokvError('not-regular-file', `${text}: expected a file, found a device, fifo or socket; pipe it into "nokv put -"`);
  return { kind: 'file', shown: text, name, ...localFileOf(file, found) };
}

async function look(cwd: string, text: string): Promise<{ readonly file: string | Buffer; readonly found: BigIntStats }> {
  const file = resolve(cwd, text);
  try {
    return { file, found: await statLocal(file, { bigint: true }) };
  } catch (error) {
    if (!/\\x[0-9a-fA-F]{2}/.test(text)) throw localFailure(error, isMangled(text) ? `${text} (odd bytes are written \\xHH)` : text);
    const escaped = Buffer.from(parseName(file));
    const found = await statLocal(escaped, { bigint: true }).catch((second: unknown) => {
      throw localFailure(second, text);
    });
    return { file: escaped, found };
  }
}

/** Node reads arguments as UTF-8; what is none becomes U+FFFD. */
function isMangled(text: string): boolean {
  return text.includes('\ufffd');
}

export function nameOfSource(source: Source): Uint8Array {
  if (source.kind === 'stdin') throw usageError('standard input has no name; name the file: nokv put - /path/file');
  return source.name;
}

/** Files below a directory as `put -r` sends them, with the names that lead to them. Memory is bounded by the depth of the tree. */
export async function* filesBelow(directory: Buffer, names: readonly Uint8Array[] = []): AsyncGenerator<readonly Uint8Array[]> {
  try {
    for await (const entry of await opendir(directory as unknown as string, { encoding: 'buffer' as BufferEncoding })) {
      const name = entry.name as unknown as Buffer;
      if (entry.isDirectory()) yield* filesBelow(Buffer.concat([directory, Buffer.from('/'), name]), [...names, name]);
      else if (entry.isFile() || entry.isSymbolicLink()) yield [...names, name];
      else
        throw new NokvError(
          'not-regular-file',
          `${formatName(Buffer.concat([directory, Buffer.from('/'), name]))}: a device, fifo or socket`,
        );
    }
  } catch (error) {
    throw localFailure(error, formatName(directory));
  }
}
