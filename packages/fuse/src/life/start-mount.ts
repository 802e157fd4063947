/**
 * A mount's life in one process: connect, mount, follow the change stream, drain, unmount.
 *
 * What opens here closes here in reverse order, whether the mount failed half-way, was unmounted by us or by umount(8), or lost its
 * device. The record in the run directory lives exactly as long as the mount.
 */
import { realpath, stat } from 'node:fs/promises';
import { connect, type NokvClient } from '@nokv/client';
import { NokvError, parsePath, systemClock, systemRandom, type Attributes } from '@nokv/types';
import { ChangeFeed } from '../core/change-feed.js';
import { clientBodies } from '../core/client-bodies.js';
import { MountContext } from '../core/mount-context.js';
import { NamespaceFileSystem } from '../core/namespace-file-system.js';
import { NodeTable } from '../core/node-table.js';
import { openKernelSession } from '../kernel/kernel-session.js';
import { mountedType, unmountDevice } from '../kernel/mount-device.js';
import { NATIVE_LACKS, openNativeSession } from '../native/native-session.js';
import type { Invalidator, Session } from '../session/file-system.js';
import type { MountOptions, RunningMount, SessionKind } from './mount-options.js';
import { serveControl } from './mount-control.js';
import { defaultRunDirectory, findMount, forgetMount, mountFileBase, recordMount } from './mount-registry.js';

const CALL_TIMEOUT_MS = 30_000;
const CACHE_TIMEOUT_MS = 300_000;
/** A dead mount answers at once; one that answers nothing for this long is not taken away by us. */
const PROBE_TIMEOUT_MS = 5_000;
const STREAM_RETRY_MS = 1_000;

/** Mounts in this process and resolves once the mount answers. Never touch the mount with synchronous calls from the same thread. */
export async function startMount(options: MountOptions): Promise<RunningMount> {
  const directory = await freeDirectory(options.directory);
  const cache = { note: options.log, ...options.connect.cache };
  const client = await connect({ clientName: 'nokv-mount', actor: 'mount', ...options.connect, cache });
  try {
    return await serve(client, directory, options);
  } catch (error) {
    await client.close();
    throw error;
  }
}

async function serve(client: NokvClient, directory: string, options: MountOptions): Promise<RunningMount> {
  const { clock = systemClock, random = systemRandom, callTimeoutMs = CALL_TIMEOUT_MS, log = () => undefined } = options;
  const runDirectory = options.runDirectory ?? defaultRunDirectory();
  const root = options.root ?? '/';
  const context = new MountContext({
    metadata: client.metadata,
    bodies: await clientBodies(client, options.connect.cache?.skipLocal),
    clock,
    random,
    callTimeoutMs,
    log,
  });
  const table = new NodeTable(await rootAttributes(client, root));
  const fileSystem = new NamespaceFileSystem(context, table, {
    readOnly: options.readOnly === true,
    cacheTimeoutMs: options.cacheTimeoutMs ?? CACHE_TIMEOUT_MS,
  });
  let session: Session | undefined;
  const kernel: Invalidator = {
    invalidateEntry: (parent, name) => session?.invalidateEntry(parent, name),
    invalidateNode: (node, data) => session?.invalidateNode(node, data),
  };
  const stop = new AbortController();
  const following = follow(client, new ChangeFeed(context, table, kernel), fileSystem, stop.signal, log);
  const server = serverName(options);
  const settle = async () => {
    stop.abort();
    await following;
    context.close();
    forgetMount(runDirectory, directory, process.pid);
    await client.close();
  };
  let kind: SessionKind;
  let lacks: readonly string[];
  try {
    ({ session, kind, lacks } = await openSession(fileSystem, directory, server, options, log));
  } catch (error) {
    await settle();
    throw error;
  }
  recordMount(runDirectory, {
    directory,
    pid: process.pid,
    server,
    root,
    readOnly: fileSystem.readOnly,
    session: kind,
    startedAt: new Date(clock.nowMs()).toISOString(),
    ...(options.logFile === undefined ? {} : { logFile: options.logFile }),
  });
  const live = session;
  // The device may go without a word (umount(8)): what is still on its way is finished first.
  const closed = live.closed
    .then(() => fileSystem.syncfs())
    .catch((error: unknown) => log(`not everything could be published: ${error instanceof Error ? error.message : String(error)}`))
    .then(settle);
  const mount: RunningMount = {
    directory,
    session: kind,
    lacks,
    drain: () => fileSystem.syncfs(),
    async unmount({ force = false } = {}) {
      try {
        await fileSystem.syncfs();
      } catch (error) {
        if (!force) throw error;
        log(`detached with unpublished changes: ${error instanceof Error ? error.message : String(error)}`);
      }
      await live.unmount(force);
      await closed;
    },
    closed,
  };
  const control = await serveControl(`${mountFileBase(runDirectory, directory)}.sock`, (request) =>
    request.operation === 'drain' ? mount.drain() : mount.unmount({ force: request.force === true }),
  );
  void closed.then(() => control.close());
  return mount;
}

interface OpenedSession {
  readonly session: Session;
  readonly kind: SessionKind;
  readonly lacks: readonly string[];
}

/** The kernel session where this process may mount; else libfuse's setuid helper does it, with less. */
async function openSession(
  fileSystem: NamespaceFileSystem,
  directory: string,
  server: string,
  options: MountOptions,
  log: (line: string) => void,
): Promise<OpenedSession> {
  const { session = 'auto' } = options;
  const allowOther = options.allowOther ?? process.getuid?.() === 0;
  const device = { directory, source: `nokv:${server}`, allowOther, log };
  const native = async (): Promise<OpenedSession> => {
    return { session: await openNativeSession(fileSystem, { ...device, source: server }), kind: 'fuse-native', lacks: NATIVE_LACKS };
  };
  if (session === 'fuse-native') return native();
  try {
    return { session: await openKernelSession(fileSystem, device), kind: 'kernel', lacks: [] };
  } catch (error) {
    if (session === 'kernel' || !(error instanceof NokvError)) throw error;
    log(`no kernel session (${error.message}); falling back to fuse-native`);
    try {
      return await native();
    } catch (fallback) {
      throw new NokvError(
        'unsupported',
        `${error.message}; and the fallback: ${fallback instanceof Error ? fallback.message : String(fallback)}`,
        {
          cause: fallback,
        },
      );
    }
  }
}

/** Applies the change stream until told to stop. While it is broken nothing is cached. */
async function follow(
  client: NokvClient,
  feed: ChangeFeed,
  fileSystem: NamespaceFileSystem,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const changes of client.metadata.watch({ signal })) feed.apply(changes);
    } catch (error) {
      if (signal.aborted) return;
      log(`the change stream broke: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (signal.aborted) return;
    fileSystem.isLive = false;
    await new Promise((resolve) => setTimeout(resolve, STREAM_RETRY_MS));
    fileSystem.isLive = true;
    feed.distrustAll();
  }
}

async function rootAttributes(client: NokvClient, root: string): Promise<Attributes> {
  const card = await client.metadata.read('stat', { node: { path: parsePath(root) } });
  if (card.type !== 'directory') throw new NokvError('not-directory', `expected a directory at ${root} to mount, found a ${card.type}`);
  return card;
}

/** The directory to mount on; what a dead daemon left there is taken away. */
async function freeDirectory(given: string): Promise<string> {
  let directory: string;
  try {
    directory = await realpath(given);
    if (!(await withinProbe(stat(directory))).isDirectory()) throw new NokvError('not-directory', `expected a directory at ${given}`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT')
      throw new NokvError('not-found', `expected an existing directory at ${given}; make it first (mkdir ${given})`, { cause: error });
    if (code !== 'ENOTCONN' && code !== 'ECONNABORTED') throw error;
    directory = given;
    await unmountDevice(directory, true);
  }
  const type = mountedType(directory);
  if (type?.startsWith('fuse.nokv') === true) {
    const known = findMount(defaultRunDirectory(), directory);
    throw new NokvError(
      'directory-in-use',
      `${directory} is already mounted${known === undefined ? '' : ` by process ${known.pid}`}; unmount it first (nokv umount ${directory})`,
    );
  }
  return directory;
}

function withinProbe<T>(probe: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    const error = new NokvError('directory-in-use', 'the directory does not answer; something hangs on it: unmount it first');
    setTimeout(() => reject(error), PROBE_TIMEOUT_MS).unref();
  });
  return Promise.race([probe, late]);
}

function serverName({ connect: { address } }: MountOptions): string {
  return typeof address === 'string' ? address : (address ?? []).join(',');
}
