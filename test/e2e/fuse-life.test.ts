/** Mounting, unmounting, a server that goes away, a daemon that dies. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { listMounts, unmountDirectory } from '@nokv/fuse';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../services/server.js';
import { inProcess, isMounted, startMounted, type Mounted } from './fuse-mounted.js';

let mounted: Mounted;
beforeEach(async () => {
  mounted = await startMounted();
});
afterEach(async () => await mounted?.close());

const codeOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'none',
    (error: NodeJS.ErrnoException) => error.code ?? String(error),
  );

it('a read-only mount of a subtree shows it and refuses every change', async () => {
  await mounted.client.put('/a/b/f', 'inside', { parents: true });
  const { directory } = await mounted.mount({ root: '/a/b', readOnly: true });
  expect(fs.readdirSync(directory)).toEqual(['f']);
  expect(fs.readFileSync(join(directory, 'f'), 'utf8')).toBe('inside');
  for (const change of [
    () => fs.promises.writeFile(join(directory, 'g'), ''),
    () => fs.promises.unlink(join(directory, 'f')),
    () => fs.promises.chmod(join(directory, 'f'), 0o600),
    () => fs.promises.mkdir(join(directory, 'd')),
  ]) {
    expect(await codeOf(change())).toBe('EROFS');
  }
});

it('is listed while it lives and leaves nothing behind', async () => {
  const { directory, pid } = await mounted.mount();
  expect(listMounts(mounted.runDirectory)).toMatchObject([{ directory, pid, alive: true, session: 'kernel', server: mounted.server.rpc }]);
  await mounted.unmount(directory);
  expect(isMounted(directory)).toBe(false);
  expect(listMounts(mounted.runDirectory)).toEqual([]);
  await until('the daemon to end', async () => !fs.existsSync(`/proc/${pid}`));
});

it('refuses to mount twice on one directory, and to unmount while a file is open', async () => {
  const { directory } = await mounted.mount();
  await expect(mounted.mount({ directory })).rejects.toMatchObject({ code: 'directory-in-use' });
  const fd = fs.openSync(join(directory, 'open'), 'w');
  await expect(mounted.unmount(directory)).rejects.toMatchObject({ code: 'directory-in-use' });
  fs.closeSync(fd);
  await mounted.unmount(directory);
  await expect(mounted.unmount(directory)).rejects.toMatchObject({ code: 'not-found' });
});

it('SIGTERM publishes what is dirty and unmounts', async () => {
  const { directory, pid } = await mounted.mount();
  const fd = fs.openSync(join(directory, 'f'), 'w');
  fs.writeSync(fd, 'dirty');
  process.kill(pid, 'SIGTERM');
  await until('the unmount', async () => !isMounted(directory));
  expect(await (await mounted.client.get('/f')).text()).toBe('dirty');
  fs.closeSync(fd);
});

it('a mount whose daemon was killed is healed by mounting again', async () => {
  const { directory, pid } = await mounted.mount();
  fs.writeFileSync(join(directory, 'f'), 'kept');
  process.kill(pid, 'SIGKILL');
  await until('the daemon to be gone', async () => (await codeOf(fs.promises.stat(directory))) === 'ENOTCONN');
  await until('the record to say so', async () => listMounts(mounted.runDirectory)[0]?.alive === false);
  await mounted.mount({ directory });
  expect(fs.readFileSync(join(directory, 'f'), 'utf8')).toBe('kept');
  await mounted.unmount(directory);
});

it('a dead mount can be unmounted', async () => {
  const { directory, pid } = await mounted.mount();
  process.kill(pid, 'SIGKILL');
  await until('the daemon to be gone', async () => (await codeOf(fs.promises.stat(directory))) === 'ENOTCONN');
  await unmountDirectory(directory, { runDirectory: mounted.runDirectory });
  expect(isMounted(directory)).toBe(false);
});

it('what fsync acknowledged outlives a server killed right after', async () => {
  const { directory } = await mounted.mount();
  const bytes = Buffer.alloc(9 * 1024 * 1024, 'durable');
  const fd = fs.openSync(join(directory, 'f'), 'w');
  fs.writeSync(fd, bytes);
  fs.fsyncSync(fd);
  await mounted.restartServer();
  expect(Buffer.from(await (await mounted.client.get('/f')).bytes()).equals(bytes)).toBe(true);
  fs.closeSync(fd);
  expect(fs.readFileSync(join(directory, 'f')).equals(bytes)).toBe(true);
});

it('closed files that a killed server had only shown are made again', async () => {
  const { directory } = await mounted.mount();
  const names = Array.from({ length: 50 }, (_, i) => `f${i}`);
  fs.mkdirSync(join(directory, 'd'));
  for (const name of names) fs.writeFileSync(join(directory, 'd', name), `content of ${name}`);
  await mounted.restartServer();
  fs.writeFileSync(join(directory, 'd', 'last'), 'last');
  const fd = fs.openSync(join(directory, 'd', 'last'), 'r+');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  for (const name of names) expect(await (await mounted.client.get(`/d/${name}`)).text()).toBe(`content of ${name}`);
  expect(fs.readdirSync(join(directory, 'd')).length).toBe(51);
});

it('calls wait for a server that comes back, and fail after the deadline when it does not', async () => {
  const { directory } = await mounted.mount({ callTimeoutMs: 3000 });
  fs.writeFileSync(join(directory, 'f'), 'x');
  mounted.server.pause();
  const waiting = inProcess(`fs.writeFileSync(process.argv[1], 'later'); console.log('done')`, [join(directory, 'g')]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  mounted.server.resume();
  expect(await waiting).toBe('done');
  mounted.server.pause();
  const failed = await inProcess(`try { fs.writeFileSync(process.argv[1], 'never'); } catch (error) { console.log(error.code); }`, [
    join(directory, 'h'),
  ]);
  expect(['EIO', 'ETIMEDOUT']).toContain(failed);
  mounted.server.resume();
  await until('the server to answer again', async () =>
    fs.promises.readFile(join(directory, 'g'), 'utf8').then(
      (text) => text === 'later',
      () => false,
    ),
  );
});

it('unmounting does not hang when the server is gone', async () => {
  const { directory, pid } = await mounted.mount({ callTimeoutMs: 1000 });
  fs.writeFileSync(join(directory, 'f'), 'x');
  await mounted.server.kill();
  await unmountDirectory(directory, { runDirectory: mounted.runDirectory, force: true, timeoutMs: 20_000 });
  expect(isMounted(directory)).toBe(false);
  await until('the daemon to end', async () => !fs.existsSync(`/proc/${pid}`));
});

it('an idle mount uses no CPU', async () => {
  const { directory, pid } = await mounted.mount();
  fs.readdirSync(directory);
  const ticks = () =>
    fs
      .readFileSync(`/proc/${pid}/stat`, 'latin1')
      .split(' ')
      .slice(13, 15)
      .reduce((sum, value) => sum + Number(value), 0);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = ticks();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  // A tick is 10 ms: a spinning loop would take 200.
  expect(ticks() - before).toBeLessThan(20);
});
