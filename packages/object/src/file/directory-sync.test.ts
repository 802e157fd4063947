import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectorySync } from './directory-sync.js';

let root: string;
/** Flushes under way, to be ended by the test; and all that were begun. */
let pending: { directory: string; end: (error?: Error) => void }[];
let begun: string[];
let directories: DirectorySync;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nokv-sync-'));
  pending = [];
  begun = [];
  directories = new DirectorySync(root, (directory) => {
    begun.push(directory.slice(root.length));
    return new Promise((resolve, reject) => pending.push({ directory, end: (error) => (error === undefined ? resolve() : reject(error)) }));
  });
});
afterEach(() => rmSync(root, { recursive: true }));

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('callers during a flush share the next one, which began after they called', async () => {
  const first = directories.sync(root);
  const later = Array.from({ length: 100 }, () => directories.sync(root));
  let laterDone = 0;
  for (const call of later) void call.then(() => (laterDone += 1));
  pending[0]?.end();
  await first;
  await turn();
  expect(begun).toEqual(['', '']);
  expect(laterDone).toBe(0);
  pending[1]?.end();
  await Promise.all(later);
  void directories.sync(root);
  expect(begun).toHaveLength(3);
});

test('a flush that fails fails those who waited for it, not those after', async () => {
  const first = directories.sync(root);
  const second = directories.sync(root);
  pending[0]?.end(new Error('EIO'));
  await expect(first).rejects.toThrow('EIO');
  await turn();
  pending[1]?.end();
  await second;
});

test('a new directory is durable only when every parent was flushed, and is then remembered until forgotten', async () => {
  const deep = join(root, 'a/b/c');
  await directories.create(deep);
  expect(existsSync(deep)).toBe(true);
  expect(begun).toEqual([]);
  let isSettled = false;
  const settling = directories.settle(deep).then(() => (isSettled = true));
  expect(begun).toEqual(['', '/a', '/a/b']);
  for (const { end } of pending) {
    await turn();
    expect(isSettled).toBe(false);
    end();
  }
  await settling;
  await directories.settle(deep);
  expect(begun).toHaveLength(3);
  directories.forget(deep);
  void directories.settle(deep);
  expect(begun).toHaveLength(6);
});

test('a directory counts as durable only from the end of its flush on', async () => {
  const path = join(root, 'a');
  await directories.create(path);
  void directories.settle(path);
  void directories.settle(path);
  pending[0]?.end();
  await turn();
  expect(begun).toEqual(['', '']);
});
