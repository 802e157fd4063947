import { expect, test } from 'vitest';
import { ROOT_INODE, STAGING_INODE, TRASH_INODE, timespecFromMs, type Generation, type InodeNumber, type Version } from '@nokv/types';
import { SYSTEM_ITEM, systemKey } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { unlinkName } from './operations/directory.js';
import { Overlay, ShardView } from './overlay.js';
import { TestShard } from './testing/test-shard.js';
import { Transaction } from './transaction.js';
import { decodeProgress } from './value-log.js';

const roots = { root: ROOT_INODE, staging: STAGING_INODE, trash: TRASH_INODE };
const retention = { bodyMs: 1000, bodiesKept: 0, uploadMs: 1000, extentMs: 1000 };
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const text = (name: Uint8Array): string => Buffer.from(name).toString();

async function begin(fill: (shard: TestShard) => Promise<unknown>): Promise<Transaction> {
  const shard = await TestShard.open(new MemoryKv());
  await fill(shard);
  const progress = shard.kv.get(systemKey(SYSTEM_ITEM.progress));
  const command = { time: timespecFromMs(1), actor: 'tester' };
  return new Transaction(new ShardView(shard.kv, new Overlay()), roots, 1000 as Version, command, decodeProgress(progress as Uint8Array));
}

test('entries show what the command entered, replaced and removed, in the order of names', async () => {
  const transaction = await begin(async (shard) => {
    for (const name of ['/b', '/d', '/f']) await shard.create(name);
  });
  transaction.putEntry(ROOT_INODE, bytes('a'), 90 as InodeNumber, 'file');
  transaction.putEntry(ROOT_INODE, bytes('e'), 91 as InodeNumber, 'file');
  transaction.removeEntry(ROOT_INODE, bytes('d'));
  transaction.putEntry(ROOT_INODE, bytes('f'), 92 as InodeNumber, 'file');
  transaction.putEntry(ROOT_INODE, bytes('g'), 93 as InodeNumber, 'file');
  transaction.removeEntry(ROOT_INODE, bytes('g'));
  const shown = [...transaction.entries(ROOT_INODE)].map(({ name, entry }) => `${text(name)} ${entry.ino}`);
  expect(shown).toEqual(['a 90', expect.stringMatching(/^b /), 'e 91', 'f 92']);
});

test('links made and removed by the command are followed to the last name', async () => {
  const transaction = await begin((shard) => shard.create('/f'));
  const ino = transaction.entry(ROOT_INODE, bytes('f'))?.ino as InodeNumber;
  const inode = transaction.edit(ino);
  inode.nlink = 2;
  transaction.putLink(ino, ROOT_INODE, bytes('f'));
  transaction.putLink(ino, ROOT_INODE, bytes('g'));
  transaction.putEntry(ROOT_INODE, bytes('g'), ino, 'file');
  transaction.edit(ROOT_INODE).children += 1;
  expect(transaction.links(ino, 9).map(({ name }) => text(name))).toEqual(['f', 'g']);
  expect(unlinkName(transaction, ino, { parent: ROOT_INODE, name: bytes('f') }, retention)).toBe(1);
  expect(transaction.inode(ino)).toMatchObject({ nlink: 1, parent: ROOT_INODE, name: bytes('g') });
  expect(transaction.links(ino, 9)).toEqual([]);
});

test('names of extended attributes and bodies include those of the command', async () => {
  const transaction = await begin(async (shard) => {
    await shard.put('/f', 'old');
    for (const name of ['user.a', 'user.c']) {
      await shard.do('xattr-set', { node: { path: bytes('/f') }, name: bytes(name), value: bytes('x'), mode: 'set' });
    }
  });
  const ino = transaction.entry(ROOT_INODE, bytes('f'))?.ino as InodeNumber;
  transaction.putXattr(ino, bytes('user.b'), bytes('y'));
  transaction.putXattr(ino, bytes('user.c'), undefined);
  expect(transaction.xattrNames(ino).map(text)).toEqual(['user.a', 'user.b']);
  transaction.putBody(ino, 2, { digest: 'd', contentType: undefined, producer: undefined, body: { kind: 'inline', bytes: bytes('new') } });
  const shown = [...transaction.bodies(ino)].map(({ body }) => body.kind === 'inline' && text(body.bytes));
  expect(shown).toEqual(['new', 'old']);
  transaction.dropBody(ino, 1000 as Generation);
  expect([...transaction.bodies(ino)]).toHaveLength(1);
});
