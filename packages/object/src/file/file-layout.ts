/**
 * The file store's directory: `format` (this layout's number), `data/<key>` (objects), `tmp/` (puts under way). The file
 * `format` appears last and whole, so a directory that has it has the rest.
 */
import { link, mkdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NokvError, type Random } from '@nokv/types';
import { DirectorySync } from './directory-sync.js';
import { writeNewFile } from './file-bytes.js';
import { isErrno } from './file-errors.js';

export const FILE_STORE_FORMAT = 1;
const FORMAT_LINE = /^nokv file store (\d+)\n$/;

/** Checks the format of an existing store, or makes a new one. */
export async function prepareLayout(root: string, create: boolean, random: Random): Promise<{ data: string; tmp: string }> {
  const formatPath = join(root, 'format');
  const data = join(root, 'data');
  const tmp = join(root, 'tmp');
  const found = await readFile(formatPath, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (found !== undefined) {
    const number = FORMAT_LINE.exec(found)?.[1];
    if (number === String(FILE_STORE_FORMAT)) return { data, tmp };
    throw new NokvError(
      'unsupported-format',
      `${formatPath}: expected file store format ${FILE_STORE_FORMAT}, found ${number ?? JSON.stringify(found.slice(0, 40))}; use the build that made it or another directory`,
    );
  }
  if (!create)
    throw new NokvError(
      'no-bucket',
      `no file store in ${root}: expected a file named format there; give the directory of an existing store`,
    );
  for (const path of [root, data, tmp]) await makeDirectory(path);
  const directories = new DirectorySync(dirname(root));
  await directories.sync(dirname(root));
  const draft = join(tmp, `format-${Buffer.from(random.bytes(8)).toString('hex')}`);
  await writeNewFile(draft, Buffer.from(`nokv file store ${FILE_STORE_FORMAT}\n`));
  await link(draft, formatPath).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) throw error;
  });
  await unlink(draft);
  await directories.sync(root);
  return { data, tmp };
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    // Node's recursive mkdir hides why it failed (EROFS becomes ENOENT): it is asked only for missing parents.
    if (isErrno(error, 'ENOENT')) await mkdir(path, { recursive: true });
    else if (!isErrno(error, 'EEXIST')) throw error;
  }
}
