/** Batches, transactions and reads of many over the wire, by the SDK. */
import { connect, type NokvClient } from '@nokv/client';
import { isNokvError, requestId, type Settled } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMetric } from '../services/server.js';
import { cuttingProxy, patternBytes, sha256, startClientFixture, type ClientFixture } from './client-fixture.js';

let fixture: ClientFixture;
let client: NokvClient;
let top = '';
let tops = 0;

beforeAll(async () => {
  fixture = await startClientFixture();
  ({ client } = fixture);
});
afterAll(async () => await fixture?.close());

async function fresh(): Promise<string> {
  top = `/lists${++tops}`;
  await client.mkdir(top);
  return top;
}

const codes = (answers: readonly Settled<unknown>[]): string[] => answers.map((answer) => (answer.ok ? 'ok' : answer.error.code));

async function requests(): Promise<number> {
  return readMetric(fixture.server.http, 'nokv_rpc_request_seconds_count');
}

/** RPCs that `work` made, as the server's metrics count them. */
async function rpcsOf(work: () => Promise<unknown>): Promise<number> {
  const before = await requests();
  await work();
  return (await requests()) - before;
}

describe('a batch', () => {
  test('of creates, reads and removals of 256 files is one request each, with an answer for every file', async () => {
    const dir = await fresh();
    const paths = Array.from({ length: 256 }, (_, i) => `${dir}/${i}`);
    await client.put(paths[7] as string, 'there already');
    await client.mkdir(`${dir}/d`);
    expect(
      await rpcsOf(async () => {
        expect(codes(await client.createMany(paths))).toEqual(paths.map((_, i) => (i === 7 ? 'exists' : 'ok')));
      }),
    ).toBe(1);
    expect(
      await rpcsOf(async () => {
        const cards = await client.statMany(paths);
        expect(cards[7]).toMatchObject({ ok: true, value: { size: 13 } });
        expect(codes(cards)).toEqual(paths.map(() => 'ok'));
      }),
    ).toBe(1);
    expect(
      await rpcsOf(async () => {
        expect(codes(await client.readMany(paths.with(3, `${dir}/none`).with(5, `${dir}/d`)))).toEqual(
          paths.map((_, i) => (i === 3 ? 'not-found' : i === 5 ? 'is-directory' : 'ok')),
        );
      }),
    ).toBe(1);
    expect(await rpcsOf(async () => client.statMany([...paths, dir]))).toBe(2);
    expect(
      await rpcsOf(async () => {
        expect(codes(await client.removeMany(paths.with(3, `${dir}/none`)))).toEqual(paths.map((_, i) => (i === 3 ? 'not-found' : 'ok')));
      }),
    ).toBe(1);
    expect(await rpcsOf(async () => expect(codes(await client.removeMany([paths[3] as string, `${dir}/d`]))).toEqual(['ok', 'ok']))).toBe(
      2,
    );
    expect((await client.listPage(dir)).entries).toEqual([]);
  });

  test('mixes operations; those that fail do not touch the others', async () => {
    const dir = await fresh();
    const big = patternBytes(300_000);
    const answers = await client
      .batch()
      .mkdir(`${dir}/a/b`, { parents: true })
      .put(`${dir}/a/small`, 'small')
      .put(`${dir}/a/big`, big)
      .put(`${dir}/missing/x`, 'x')
      .symlink('small', `${dir}/a/s`)
      .link(`${dir}/a/small`, `${dir}/a/l`)
      .setXattr(`${dir}/a/small`, 'user.k', 'v')
      .rename(`${dir}/none`, `${dir}/x`)
      .setattr(`${dir}/a/big`, { mode: 0o600 })
      .rmdir(`${dir}/a`)
      .send();
    expect(codes(answers)).toEqual(['ok', 'ok', 'ok', 'not-found', 'ok', 'ok', 'ok', 'not-found', 'ok', 'not-empty']);
    expect(sha256(await (await client.get(`${dir}/a/big`)).bytes())).toBe(sha256(big));
    expect(await client.stat(`${dir}/a/l`)).toMatchObject({ nlink: 2, size: 5 });
    const read = await client.readMany([`${dir}/a/s`, `${dir}/a/big`], { maxBytes: 400_000 });
    expect(read.map((file) => file.ok && sha256(file.value.bytes))).toEqual([sha256(Buffer.from('small')), sha256(big)]);
    expect(codes(await client.readMany([`${dir}/a/big`], { maxBytes: 1000 }))).toEqual(['too-large']);
  });

  test('whose answer is lost takes effect once: each item under an id of its own', async () => {
    const dir = await fresh();
    const proxy = await cuttingProxy(fixture.server.rpc);
    const behind = await connect({ address: proxy.address });
    try {
      const paths = Array.from({ length: 50 }, (_, i) => `${dir}/${i}`);
      await behind.stat('/');
      proxy.cutReplies(1);
      expect(codes(await behind.createMany(paths))).toEqual(paths.map(() => 'ok'));
      expect(proxy.cuts).toBe(1);
      const id = requestId('lost-batch');
      const first = await behind.batch().put(`${dir}/p`, 'one').unlink(`${dir}/0`).send({ requestId: id });
      expect(await behind.batch().put(`${dir}/p`, 'one').unlink(`${dir}/0`).send({ requestId: id })).toEqual(first);
      expect(codes(await behind.batch().put(`${dir}/p`, 'two').send({ requestId: id }))).toEqual(['request-reused']);
    } finally {
      await behind.close();
      await proxy.close();
    }
  });

  test('larger than one request is sent in parts', async () => {
    const dir = await fresh();
    const batch = client.batch();
    for (let i = 0; i < 400; i++) batch.put(`${dir}/${i}`, patternBytes(16_000, i));
    expect(batch.length).toBe(400);
    expect(await rpcsOf(async () => expect(new Set(codes(await batch.send()))).toEqual(new Set(['ok'])))).toBe(3);
    await expect(batch.send()).rejects.toMatchObject({ code: 'invalid-argument' });
    const files = await client.readMany(Array.from({ length: 400 }, (_, i) => `${dir}/${i}`));
    files.forEach((file, i) => expect(file.ok && sha256(file.value.bytes)).toBe(sha256(patternBytes(16_000, i))));
  });
});

describe('a transaction', () => {
  test('over many paths takes effect as one version, or not at all', async () => {
    const dir = await fresh();
    await client.put(`${dir}/old`, 'old');
    const before = await client.stat(`${dir}/old`);
    const big = patternBytes(100_000);
    const build = () =>
      client
        .transaction()
        .require(`${dir}/old`, { generation: before.generation, type: 'file' })
        .require(`${dir}/a`, { exists: false })
        .put(`${dir}/a`, 'A')
        .put(`${dir}/b`, big)
        .put(`${dir}/c`, 'C', { contentType: 'text/plain' })
        .unlink(`${dir}/old`);
    let outcome;
    expect(await rpcsOf(async () => (outcome = await build().commit()))).toBeLessThanOrEqual(4);
    const { version, results } = outcome as unknown as Awaited<ReturnType<ReturnType<typeof build>['commit']>>;
    expect(results.map(({ operation }) => operation)).toEqual(['publish', 'publish', 'publish', 'unlink']);
    for (const name of ['a', 'b', 'c']) expect((await client.stat(`${dir}/${name}`)).generation).toBe(version);
    expect(sha256(await (await client.get(`${dir}/b`)).bytes())).toBe(sha256(big));
    await expect(build().commit()).rejects.toMatchObject({ code: 'not-found', details: { precondition: 0 } });
    const refused = client.transaction().put(`${dir}/x`, 'x').put(`${dir}/y`, big).mkdir(`${dir}/a`).commit();
    await expect(refused).rejects.toMatchObject({ code: 'exists', outcome: 'not-applied', details: { index: 2 } });
    expect((await client.listPage(dir)).entries.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  test('whose answer is lost takes effect once', async () => {
    const dir = await fresh();
    const proxy = await cuttingProxy(fixture.server.rpc);
    const behind = await connect({ address: proxy.address });
    try {
      await behind.stat('/');
      proxy.cutReplies(1);
      const { version } = await behind.transaction().put(`${dir}/a`, 'A').put(`${dir}/b`, 'B').commit();
      expect(proxy.cuts).toBe(1);
      expect(await client.stat(`${dir}/a`)).toMatchObject({ generation: version, ordinal: 1 });
    } finally {
      await behind.close();
      await proxy.close();
    }
  });

  test('16 clients that each move a counter file and a journal by one agree on the number of moves', async () => {
    const dir = await fresh();
    await client.put(`${dir}/counter`, '0');
    const clients = await Promise.all(Array.from({ length: 16 }, () => connect({ address: fixture.server.rpc })));
    const move = async (each: NokvClient, who: number): Promise<void> => {
      for (let done = 0; done < 5;) {
        const body = await each.get(`${dir}/counter`);
        const next = Number(await body.text()) + 1;
        try {
          await each
            .transaction()
            .require(`${dir}/counter`, { generation: body.generation })
            .put(`${dir}/counter`, String(next))
            .put(`${dir}/entry-${next}`, `${who}`)
            .commit();
          done += 1;
        } catch (error) {
          if (!isNokvError(error, 'generation-mismatch')) throw error;
        }
      }
    };
    await Promise.all(clients.map(move));
    await Promise.all(clients.map((each) => each.close()));
    expect(await (await client.get(`${dir}/counter`)).text()).toBe('80');
    const { entries } = await client.listPage(dir);
    expect(entries).toHaveLength(81);
  });
});

describe('truncating', () => {
  test.each([
    [0, 100],
    [5, 16_384],
    [5, 16_385],
    [5, 10_000_000_000],
    [16_384, 16_385],
    [300_000, 300_001],
    [300_000, 1000],
    [300_000, 0],
    [16_000, 3],
  ])('a body of %i bytes to %i keeps its head and shows zeros behind', async (from, to) => {
    const dir = await fresh();
    const bytes = patternBytes(from);
    await client.put(`${dir}/f`, bytes, { contentType: 'text/plain', mode: 0o640 });
    const { attributes } = await client.truncate(`${dir}/f`, to);
    expect(attributes).toMatchObject({ size: to, ordinal: 2, mode: 0o640 });
    const body = await client.get(`${dir}/f`);
    expect(body.contentType).toBe('text/plain');
    expect(Buffer.compare(await body.read(0, Math.min(from, to)), bytes.subarray(0, to))).toBe(0);
    const behind = await body.read(Math.min(from, to), 100_000);
    expect(behind.length).toBe(Math.min(100_000, to - Math.min(from, to)));
    expect(behind.every((byte) => byte === 0)).toBe(true);
    expect((await body.read(to - Math.min(to, 10), 20)).length).toBe(Math.min(to, 10));
  });

  test('a sparse file of 100 GiB needs no object', async () => {
    const dir = await fresh();
    await client.put(`${dir}/sparse`, '');
    const store = async (): Promise<number> => readMetric(fixture.server.http, 'nokv_store_request_seconds_count');
    const before = await store();
    const rpcs = await rpcsOf(async () => {
      await client.truncate(`${dir}/sparse`, 100 * 2 ** 30);
      await client.truncate(`${dir}/sparse`, 50 * 2 ** 30);
    });
    expect(rpcs).toBe(2);
    // It moves into the metadata: looked at, opened, published.
    expect(await rpcsOf(() => client.truncate(`${dir}/sparse`, 1))).toBeLessThanOrEqual(4);
    expect((await store()) - before).toBe(0);
    expect(await client.stat(`${dir}/sparse`)).toMatchObject({ size: 1, inline: true });
  });

  test('a small body that others rewrite meanwhile loses none of what they wrote', async () => {
    const dir = await fresh();
    await client.put(`${dir}/f`, 'start');
    const writer = (async () => {
      for (let i = 0; i < 20; i++) await client.put(`${dir}/f`, `body ${i}`);
    })();
    await client.truncate(`${dir}/f`, 20_000);
    await writer;
    const text = (await (await client.get(`${dir}/f`)).text()).replaceAll('\0', '');
    expect(text).toMatch(/^(start|body \d+)$/);
  });
});
