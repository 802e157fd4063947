/** One server, a fresh directory of the namespace and of this machine for each test, and how tests of the past look at both. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type CliServer, startCliServer } from './cli-runner.js';

/** Set anew before each test. */
export let server: CliServer;
export let directory: string;
export let top: string;
let count = 0;

beforeAll(async () => {
  server = await startCliServer();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-cli-history-'));
  count += 1;
  top = `/h${count}`;
  await server.must(['mkdir', top]);
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

export type Row = Record<string, unknown>;

export const sha256 = (bytes: string | Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
/** More than what is kept with the metadata. */
export const big = (seed: string) => Buffer.alloc(100_000, seed);
export const put = async (path: string, bytes: string | Uint8Array) => {
  const [row] = (await server.json(['put', '-p', '-', `${top}/${path}`], { input: bytes })) as Row[];
  return row?.generation as number;
};
export const one = async (...words: string[]) => (await server.json(words))[0] as Row;
export const cat = async (address: string) => await server.must(['cat', address]);
export const objects = () =>
  readdirSync(server.data, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.parentPath.includes('object'),
  ).length;
export const snapshot = async (path: string, ...flags: string[]) => (await one('snapshot', 'create', path, ...flags)).id as number;
export const refused = async (...words: string[]) => {
  const { code, stdout, stderr } = await server.run([...words, '--json']);
  const record = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as Row;
  checkSchema('error', record);
  return { exit: code, code: record.code, message: String(record.message), stdout };
};

/** Everything that a person can see below a path: names, attributes, bodies, targets, extended attributes. */
export async function view(path: string, at = ''): Promise<unknown> {
  const list = await server.must(['ls', '-R', `${path}${at}`]);
  const rows = (await server.json(['tree', `${path}${at}`])) as Row[];
  const seen: unknown[] = [list, await server.must(['ls', '-lR', `${path}${at}`])];
  for (const row of rows) {
    // Reading does not change what was read, but a link may have been made to it: ctime and nlink of files count as well.
    const { atime: _, ...rest } = row;
    const body = row.type === 'file' ? sha256(await cat(`${row.path}${at}`)) : null;
    const names = ((await server.json(['xattr', 'list', `${row.path}${at}`])) as Row[]).map(({ name }) => String(name));
    const xattrs: unknown[] = [];
    if (row.type !== 'symlink')
      for (const name of names) xattrs.push([name, await server.must(['xattr', 'get', `${row.path}${at}`, name])]);
    seen.push({ ...rest, body, names, xattrs });
  }
  return seen;
}

/** The same without what belongs to a place alone: paths, inode numbers, and when an inode was last changed. */
export async function content(path: string, at = ''): Promise<unknown> {
  const rows = (await server.json(['tree', `${path}${at}`])) as Row[];
  return await Promise.all(
    rows.map(async (row) => {
      const { path: where, type, mode, uid, gid, nlink, size, mtime, digest, contentType, target } = row;
      const names = ((await server.json(['xattr', 'list', `${String(where)}${at}`])) as Row[]).map(({ name }) => name);
      return { path: String(where).slice(path.length), type, mode, uid, gid, nlink, size, mtime, digest, contentType, target, names };
    }),
  );
}

export async function makeTree(base = top): Promise<void> {
  await server.must(['mkdir', '-p', `${base}/deep/er`, `${base}/empty`]);
  for (const [path, body] of [
    ['a.txt', 'alpha\n'],
    ['deep/b.txt', 'beta\n'],
    ['deep/er/c.bin', big('c')],
    ['gone.txt', 'going\n'],
  ] as const) {
    await server.must(['put', '-', `${base}/${path}`], { input: body });
  }
  await server.must(['ln', `${base}/a.txt`, `${base}/deep/hard`]);
  await server.must(['ln', '-s', 'a.txt', `${base}/link`]);
  await server.must(['xattr', 'set', `${base}/a.txt`, 'user.color', 'blue']);
  await server.must(['xattr', 'set', `${base}/deep`, 'user.depth', '1']);
}

/** Removes, renames, overwrites, changes and creates. */
export async function change(base = top): Promise<void> {
  await server.must(['rm', `${base}/gone.txt`]);
  await server.must(['mv', `${base}/deep/er`, `${base}/moved`]);
  await server.must(['put', '-', `${base}/a.txt`], { input: 'ALPHA\n' });
  await server.must(['chmod', '0600', `${base}/deep/b.txt`]);
  await server.must(['put', '-', `${base}/deep/new.txt`], { input: 'new\n' });
  await server.must(['xattr', 'set', `${base}/deep`, 'user.depth', '2']);
  await server.must(['xattr', 'rm', `${base}/a.txt`, 'user.color']);
  await server.must(['rm', `${base}/link`]);
  await server.must(['rmdir', `${base}/empty`]);
}
