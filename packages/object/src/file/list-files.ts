/** Walks the files below a directory in byte order of their keys. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { compareKeys } from '../object-key.js';
import { isErrno } from './file-errors.js';

/**
 * Keys that start with `prefix` and come after `after`. Reads only directories that can hold such keys; a directory
 * sorts as its name with a slash, which is how its keys compare with its neighbours.
 */
export async function* listFiles(root: string, prefix: string, after = ''): AsyncGenerator<string> {
  yield* walk(root, '', prefix, after);
}

async function* walk(directory: string, base: string, prefix: string, after: string): AsyncGenerator<string> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (base !== '' && isErrno(error, 'ENOENT')) return []; // Removed meanwhile.
    throw error;
  });
  const keys = entries.map((entry) => `${base}${entry.name}${entry.isDirectory() ? '/' : ''}`).sort(compareKeys);
  for (const key of keys) {
    if (key.endsWith('/')) {
      const related = key.startsWith(prefix) || prefix.startsWith(key);
      const past = key > after || after.startsWith(key);
      if (related && past) yield* walk(join(directory, key.slice(base.length)), key, prefix, after);
    } else if (key.startsWith(prefix) && key > after) {
      yield key;
    }
  }
}
