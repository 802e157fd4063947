/** `mount`, `umount` and `mount list`: the kernel shows the namespace, a process of its own serves it. */
import { basename, dirname, join, resolve } from 'node:path';
import { mkdir, realpath, rmdir, stat as statLocal } from 'node:fs/promises';
import { NokvError, formatName } from '@nokv/types';
import type { Call, CallOf } from '../command.js';
import { connectOptions } from '../connection.js';
import { localFailure } from '../local-failure.js';
import { columns } from '../output.js';
import { remotePath } from '../remote-path.js';
import type { mountCommands } from '../table/mount-commands.js';

type Mount = CallOf<typeof mountCommands.mount>;

export async function mount(call: Mount): Promise<void> {
  const root = call.flags.root === undefined ? '/' : formatName(remotePath(call.flags.root));
  const connect = await connectOptions(call);
  const { directory, isMade } = await localDirectory(call, call.args.directory);
  try {
    await mountOn(call, directory, root, connect);
  } catch (error) {
    if (isMade) await rmdir(directory).catch(() => undefined);
    throw error;
  }
}

async function mountOn(call: Mount, directory: string, root: string, connect: Awaited<ReturnType<typeof connectOptions>>): Promise<void> {
  const { flags, output, settings } = call;
  const options = {
    directory,
    root,
    readOnly: flags.readOnly,
    ...(flags.allowOther ? { allowOther: true } : {}),
    ...(settings.resolve('timeout').source === 'default' ? {} : { callTimeoutMs: settings.must('timeout') }),
  };
  if (flags.foreground) return await serveMount(call, { ...options, connect });
  const { spawnMountDaemon } = await import('@nokv/fuse');
  const { address, timeoutMs, token, env, cache } = { token: undefined, ...connect };
  const daemon = await spawnMountDaemon({ ...options, connect: { address, timeoutMs, token, env, cache } });
  const { pid, session, lacks, logFile } = daemon;
  for (const lack of lacks) output.note(`nokv: mount: this session (${session}) lacks ${lack}`);
  await output.result({ directory, root, server: address, readOnly: flags.readOnly, pid, session, logFile, alive: true }, undefined);
  output.detail(`nokv: mount: ${directory} is served by process ${pid} (${session}); it logs to ${logFile}`);
}

async function serveMount(call: Mount, options: Parameters<typeof import('@nokv/fuse').startMount>[0]): Promise<void> {
  const { output, io, signal } = call;
  const { startMount } = await import('@nokv/fuse');
  const mounted = await startMount({ ...options, log: (line) => output.note(line), clock: io.clock, random: io.random });
  const { directory, session, lacks } = mounted;
  for (const lack of lacks) output.note(`nokv: mount: this session (${session}) lacks ${lack}`);
  const json = {
    directory,
    root: options.root ?? '/',
    server: String(options.connect.address),
    readOnly: options.readOnly ?? false,
    pid: io.pid,
    session,
    logFile: null,
    alive: true,
  };
  await output.result(json, `${directory} is mounted; Ctrl-C unmounts it`);
  await output.flush();
  const stopped = new Promise<'stopped'>((done) => signal.addEventListener('abort', () => done('stopped'), { once: true }));
  if (signal.aborted || (await Promise.race([stopped, mounted.closed])) === 'stopped') await mounted.unmount();
}

export async function umount(call: CallOf<typeof mountCommands.umount>): Promise<void> {
  const { flags, output } = call;
  const directory = await mountPoint(call, call.args.directory);
  const { unmountDirectory } = await import('@nokv/fuse');
  await unmountDirectory(directory, { force: flags.force, ...(flags.wait === undefined ? {} : { timeoutMs: flags.wait }) });
  await output.result({ directory, unmounted: true }, undefined);
}

export async function mountList({ output }: Call): Promise<void> {
  const { listMounts } = await import('@nokv/fuse');
  const mounts = listMounts();
  if (output.json) {
    for (const one of mounts) await output.object({ ...one, logFile: one.logFile ?? null });
    return;
  }
  const rows = mounts.map(({ directory, server, root, readOnly, session, pid, alive }) => [
    directory,
    `${server}${root}`,
    readOnly ? 'read-only' : 'read-write',
    session,
    alive ? `process ${pid}` : 'dead: unmount it, or mount again',
  ]);
  for (const line of columns(rows)) await output.line(line);
}

/** Where to mount; made when it is missing and its parent is there, so that a failure can take it away again. */
async function localDirectory({ io }: Pick<Call, 'io'>, text: string): Promise<{ readonly directory: string; readonly isMade: boolean }> {
  const directory = resolve(io.cwd, text);
  try {
    const found = await statLocal(directory);
    if (!found.isDirectory()) throw new NokvError('not-directory', `${text}: expected a local directory to mount on, found a file`);
    return { directory: await realpath(directory), isMade: false };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // The mount point of a process that died: mounting again heals it.
    if (code === 'ENOTCONN') return { directory, isMade: false };
    if (code !== 'ENOENT') throw localFailure(error, text);
  }
  await mkdir(directory).catch((error: unknown) => {
    throw localFailure(error, text);
  });
  return { directory: await realpath(directory), isMade: true };
}

/** The mount point as the mount recorded it; one that does not answer cannot be asked for its real path. */
async function mountPoint({ io }: Pick<Call, 'io'>, text: string): Promise<string> {
  const directory = resolve(io.cwd, text);
  const parent = await realpath(dirname(directory)).catch((error: unknown) => {
    throw localFailure(error, text);
  });
  return join(parent, basename(directory));
}
