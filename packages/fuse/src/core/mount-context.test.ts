/** What was only visible survives a server that forgot it. */
import { expect, test } from 'vitest';
import { NokvError, ROOT_INODE, systemClock } from '@nokv/types';
import { MemoryNamespace } from '../testing/memory-namespace.js';
import { MountContext } from './mount-context.js';
import { NamespaceFileSystem } from './namespace-file-system.js';
import { NodeTable } from './node-table.js';

const caller = { uid: 0, gid: 0, pid: 1 };
const name = (text: string): Uint8Array => Buffer.from(text);

async function start() {
  const namespace = new MemoryNamespace();
  const metadata = namespace.client('a');
  const random = { bytes: (length: number) => new Uint8Array(length), float: () => 0.5 };
  const context = new MountContext({ metadata, bodies: namespace, clock: systemClock, random, callTimeoutMs: 1000, log: () => undefined });
  const table = new NodeTable(await metadata.read('getattr', { ino: ROOT_INODE }));
  const fileSystem = new NamespaceFileSystem(context, table, { readOnly: false, cacheTimeoutMs: 1000 });
  return { namespace, metadata, context, table, fileSystem };
}

test('a tree that the server forgot is made again before anything else, and its files are whole', async () => {
  const { namespace, fileSystem, metadata } = await start();
  namespace.holdDurability();
  const directory = await fileSystem.mkdir(1, name('d'), 0o755, caller);
  const { entry, open } = await fileSystem.create(directory.node, name('f'), 0o644, 2, caller);
  for (const text of ['one', 'two']) {
    await fileSystem.write(entry.node, open.handle, 0, Buffer.from(text), false);
    await fileSystem.flush(entry.node, open.handle);
  }
  namespace.loseVisible();
  await fileSystem.create(directory.node, name('later'), 0o644, 2, caller);
  await fileSystem.fsync(entry.node);
  const again = await metadata.read('stat', { node: { path: name('/d/f') } });
  const { body } = await metadata.read('open-read', { node: { ino: again.ino } });
  expect(body).toMatchObject({ kind: 'inline', bytes: new Uint8Array(Buffer.from('two')) });
  expect(await metadata.read('stat', { node: { path: name('/d/later') } })).toMatchObject({ size: 0 });
  // The open file goes on under the inode's new number.
  await fileSystem.write(entry.node, open.handle, 3, Buffer.from('!'), false);
  await fileSystem.fsync(entry.node);
  const last = await metadata.read('open-read', { node: { ino: again.ino } });
  expect(last.body).toMatchObject({ bytes: new Uint8Array(Buffer.from('two!')) });
});

test('fsync fails when what it stands for cannot be made again', async () => {
  const { namespace, fileSystem } = await start();
  namespace.holdDurability();
  const directory = await fileSystem.mkdir(1, name('d'), 0o755, caller);
  namespace.loseVisible();
  // Someone else took the name meanwhile.
  const entry = { parent: ROOT_INODE, name: name('d') };
  await namespace.client('b').mutate('create', { entry, type: 'file', mode: 0o644, exclusive: true, uid: 0, gid: 0 });
  await expect(fileSystem.fsync(directory.node)).rejects.toMatchObject({ code: 'exists' });
});

test('what is sent again says when it was first sent, so that it is not run a second time after its result was forgotten', async () => {
  const { namespace, metadata, fileSystem } = await start();
  namespace.holdDurability();
  const before = systemClock.nowMs();
  const directory = await fileSystem.mkdir(1, name('d'), 0o755, caller);
  const after = systemClock.nowMs();
  namespace.loseVisible();
  const firstAttempts: (number | undefined)[] = [];
  const { mutate } = metadata;
  metadata.mutate = (operation, args, options) => {
    firstAttempts.push(options?.firstAttemptMs);
    return mutate(operation, args, options);
  };
  while (systemClock.nowMs() <= after);
  await fileSystem.fsync(directory.node);
  expect(firstAttempts).toHaveLength(1);
  expect(firstAttempts[0]).toBeGreaterThanOrEqual(before);
  expect(firstAttempts[0]).toBeLessThanOrEqual(after);
});

test('fsync sends again what a server that was started anew while it waited had lost', async () => {
  const { namespace, metadata, fileSystem } = await start();
  namespace.holdDurability();
  const directory = await fileSystem.mkdir(1, name('d'), 0o755, caller);
  metadata.durable = async () => {
    namespace.loseVisible();
    throw new NokvError('connection-lost', 'started anew', { outcome: 'unknown' });
  };
  await fileSystem.fsync(directory.node);
  expect(await metadata.read('stat', { node: { path: name('/d') } })).toMatchObject({ type: 'directory' });
});

test('fsync fails, once, when it cannot be told whether it is durable and there is no other server', async () => {
  const { namespace, metadata, fileSystem } = await start();
  namespace.holdDurability();
  const directory = await fileSystem.mkdir(1, name('d'), 0o755, caller);
  metadata.durable = () => Promise.reject(new NokvError('connection-lost', 'started anew', { outcome: 'unknown' }));
  await expect(fileSystem.fsync(directory.node)).rejects.toMatchObject({ code: 'connection-lost' });
});

test('what is known to be durable is not kept', async () => {
  const { namespace, fileSystem, context } = await start();
  for (let i = 0; i < 100; i++) await fileSystem.mkdir(1, name(`d${i}`), 0o755, caller);
  const before = namespace.calls.get('mkdir');
  namespace.loseVisible();
  await context.settle();
  expect(namespace.calls.get('mkdir')).toBe(before);
});
