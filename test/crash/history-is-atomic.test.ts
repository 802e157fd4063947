/** A server that dies in the middle of a rollback, a clone or a merge leaves what was there before or all of what was asked for. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type AtLike, type NokvClient } from '@nokv/client';
import { ID_RANDOM_BYTES, isNokvError, makeRequestId, systemRandom, type RequestId } from '@nokv/types';
import { startServerProcess, type ServerProcess } from '../services/server.js';

let data: string;
const servers: ServerProcess[] = [];
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-history-crash-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.kill()));
  await rm(data, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startServerProcess>[0]> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ data, logLevel: 'warn', ...options });
  servers.push(server);
  return server;
}

/** A merge of these has about as many changes. */
const FILES = 1000;
const name = (i: number): string => `d${i % 7}/f${i}`;

async function makeTree(client: NokvClient): Promise<void> {
  for (let i = 0; i < 7; i++) await client.mkdir(`/w/d${i}`, { parents: true });
  await Promise.all(Array.from({ length: FILES }, (_, i) => client.put(`/w/${name(i)}`, `body ${i}`)));
}

/** Removes, renames, overwrites and makes files all over the tree. */
async function change(client: NokvClient, root: string): Promise<void> {
  const each = async (i: number): Promise<unknown> => {
    if (i % 4 === 0) return client.unlink(`${root}/${name(i)}`);
    if (i % 4 === 1) return client.rename(`${root}/${name(i)}`, `${root}/d${(i + 3) % 7}/moved-${i}`);
    if (i % 4 === 2) return client.put(`${root}/${name(i)}`, `another body ${i}`);
    return client.put(`${root}/${name(i)}-new`, 'new');
  };
  await Promise.all(Array.from({ length: FILES }, (_, i) => each(i)));
}

/** Every path below a root with its size and digest; undefined where nothing is there. */
async function contentOf(client: NokvClient, root: string, at?: AtLike): Promise<readonly string[] | undefined> {
  if (!(await client.exists(root, { at }))) return undefined;
  const rows: string[] = [];
  const visit = async (directory: string): Promise<void> => {
    for await (const { name: entry, type } of client.list(directory, { at })) {
      const path = `${directory}/${entry}`;
      if (type === 'directory') await visit(path);
      else {
        const { size, digest, mode } = await client.stat(path, { at });
        rows.push(`${path.slice(root.length)} ${size} ${digest} ${mode}`);
      }
    }
  };
  await visit(root);
  return rows;
}

interface Scene {
  /** What the operation makes of `root`. */
  readonly root: string;
  readonly act: (client: NokvClient, requestId: RequestId, timeoutMs: number) => Promise<unknown>;
  readonly before: readonly string[] | undefined;
  readonly after: readonly string[];
}

/** Makes the tree, its snapshot and its changes; what is done after that is about to be interrupted. */
const SCENES: Record<string, (client: NokvClient) => Promise<Scene>> = {
  async rollback(client) {
    await makeTree(client);
    const after = (await contentOf(client, '/w')) ?? [];
    const { pin } = await client.snapshots.create('/w');
    await change(client, '/w');
    const before = await contentOf(client, '/w');
    return {
      root: '/w',
      before,
      after,
      act: (live, requestId, timeoutMs) => live.rollback('/w', { snapshot: pin.id }, { requestId, timeoutMs }),
    };
  },
  async clone(client) {
    await makeTree(client);
    const { pin } = await client.snapshots.create('/w');
    const after = (await contentOf(client, '/w')) ?? [];
    await change(client, '/w');
    return {
      root: '/fork',
      before: undefined,
      after,
      act: (live, requestId, timeoutMs) => live.clone('/w', '/fork', { at: { snapshot: pin.id }, requestId, timeoutMs }),
    };
  },
  async merge(client) {
    await makeTree(client);
    const before = await contentOf(client, '/w');
    await client.clone('/w', '/fork');
    await change(client, '/fork');
    return {
      root: '/w',
      before,
      after: (await contentOf(client, '/fork')) ?? [],
      act: (live, requestId, timeoutMs) => live.merge('/fork', { requestId, timeoutMs }),
    };
  },
};

describe.each(Object.keys(SCENES))('a %s', (what) => {
  it.each([
    ['before-commit', false],
    ['before-flush', undefined],
    ['after-commit-before-reply', true],
  ] as const)(
    'is done whole or not at all when the server dies at %s, and once when it is asked for again',
    { timeout: 90_000 },
    async (failpoint, isDone) => {
      const healthy = await start();
      const address = { listen: healthy.rpc, http: healthy.http };
      let client = await connect({ address: healthy.rpc, timeoutMs: 30_000 });
      const scene = await (SCENES[what] as (live: NokvClient) => Promise<Scene>)(client);
      expect(scene.before).not.toEqual(scene.after);
      await client.close();
      expect(await healthy.terminate()).toBe(0);
      const doomed = await start({ ...address, env: { NOKV_FAILPOINTS: `${failpoint}=crash` } });
      client = await connect({ address: doomed.rpc, timeoutMs: 30_000 });
      const requestId = makeRequestId(Date.now(), systemRandom.bytes(ID_RANDOM_BYTES));
      const outcome = await scene.act(client, requestId, 1500).catch((error: unknown) => error);
      expect(isNokvError(outcome) && outcome.outcome).toBe('unknown');
      await doomed.exited;
      await client.close();
      const next = await start(address);
      client = await connect({ address: next.rpc, timeoutMs: 30_000 });
      const found = await contentOf(client, scene.root);
      if (isDone === undefined) expect([scene.before, scene.after]).toContainEqual(found);
      else expect(found).toEqual(isDone ? scene.after : scene.before);
      const first = await scene.act(client, requestId, 30_000);
      expect(await contentOf(client, scene.root)).toEqual(scene.after);
      expect(await scene.act(client, requestId, 30_000)).toEqual(first);
      const { undo } = first as { readonly undo?: { readonly id: number } };
      if (undo !== undefined) expect(await contentOf(client, scene.root, { snapshot: undo.id })).toEqual(scene.before);
      await client.close();
    },
  );
});
