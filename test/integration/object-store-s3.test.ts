/** The S3 adapter against a real server: conformance, admission, races between stores, crashes of the server. */
import { randomBytes } from 'node:crypto';
import {
  BodyReader,
  UploadSession,
  admissionProbe,
  blocksOf,
  claimNamespace,
  openBlockStore,
  openS3Store,
  removeUploadBlocks,
  uploadBody,
  type ObjectStore,
} from '@nokv/object';
import { blockStoreConformance, codeOf, objectStoreConformance } from '@nokv/object/testing';
import { makeUploadId, systemClock } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startS3, type S3Service } from '../services/s3.js';

const running = startS3();
running.catch(() => undefined); // Shown by the first test that awaits it.
let service: S3Service;
beforeAll(async () => {
  service = await running;
}, 600_000);
afterAll(async () => (await running).stop());

const open = async (options: { deadlineMs?: number } = {}): Promise<ObjectStore> =>
  openS3Store(service.url, { env: service.env, retry: options });

objectStoreConformance('S3 (versitygw)', async () => {
  const { url, env } = await running;
  return { store: await openS3Store(url, { env }) };
});
objectStoreConformance('S3 (versitygw) through the SDK', async () => {
  const { url, env } = await running;
  return { store: await openS3Store(url, { env, client: 'sdk' }) };
});
blockStoreConformance('over S3 (versitygw)', async () => {
  const { url, env } = await running;
  return { blocks: blocksOf(await openS3Store(url, { env })) };
});

describe('a real server', () => {
  test('is admitted and left empty', async () => {
    const store = await open();
    expect(Object.values(await admissionProbe(store))).toEqual([true, true, true, true, true]);
    expect((await store.list('', { limit: 10 })).objects).toEqual([]);
    await store.close();
  });

  test('keeps our checksums, and refuses bytes that do not match them', async () => {
    const store = await open();
    await store.putIfAbsent('k', Buffer.from('123456789'));
    // The check value of CRC-32C.
    expect(await store.head('k')).toEqual({ size: 9, crc32c: 0xe3069283 });
    expect(await codeOf(store.putIfAbsent('wrong', Buffer.from('x'), { crc32c: 1 }))).toBe('store-unavailable');
    expect(await store.head('wrong')).toBeUndefined();
    await store.close();
  });

  test('lets one of many stores create a key, over and over', async () => {
    const url = service.url;
    const stores = await Promise.all(Array.from({ length: 4 }, () => openS3Store(url, { env: service.env })));
    for (let round = 0; round < 10; round += 1) {
      const outcomes = await Promise.all(
        [...stores, ...stores, ...stores].map((store, at) => store.putIfAbsent(`race/${round}`, Buffer.from(`${at}`))),
      );
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
    }
    await Promise.all(stores.map((store) => store.close()));
  });

  test('lists and deletes more than a page', async () => {
    const store = await open();
    const names = Array.from({ length: 1100 }, (_, at) => `page/${String(at).padStart(4, '0')}`);
    for (let at = 0; at < names.length; at += 50)
      await Promise.all(names.slice(at, at + 50).map((key) => store.putIfAbsent(key, Buffer.from(key))));
    const first = await store.list('page/', { limit: 1000 });
    const second = await store.list('page/', { limit: 1000, after: first.objects.at(-1)?.key });
    expect([first.more, second.more]).toEqual([true, false]);
    expect([...first.objects, ...second.objects].map(({ key }) => key)).toEqual(names);
    await store.delete(names.slice(0, 1000));
    expect((await store.list('page/', { limit: 1000 })).objects).toHaveLength(100);
    await store.close();
  });

  test('carries a body there and back, and its blocks are swept', async () => {
    const store = await open();
    const upload = makeUploadId(systemClock.nowMs(), randomBytes(10));
    const session = new UploadSession({ store: blocksOf(store), begin: async () => ({ upload }) });
    const bytes = randomBytes(21_000_000);
    const { body, size } = await uploadBody([bytes], { session });
    const chunks: Buffer[] = [];
    for await (const chunk of new BodyReader({ store: blocksOf(store) }).stream(body, { reuse: true })) chunks.push(Buffer.from(chunk));
    expect(size).toBe(bytes.length);
    expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0);
    expect(await removeUploadBlocks(store, upload)).toBe(6);
    expect((await store.list('', { limit: 10 })).objects).toEqual([]);
    await store.close();
  });

  test('two namespaces under two prefixes do not meet; one prefix has one namespace', async () => {
    const [a, b] = [await open(), await open()];
    const markers = [await claimNamespace(a), await claimNamespace(b)];
    expect(new Set(markers).size).toBe(2);
    await expect(claimNamespace(a, { expected: markers[1] })).rejects.toMatchObject({ code: 'bad-configuration' });
    await Promise.all([a.close(), b.close()]);
  });

  test('is what a client with keys of its own chooses, and one without keys does not', async () => {
    const prefix = 'chosen';
    const store = await openS3Store(service.urlOf(prefix), { env: service.env });
    const marker = await claimNamespace(store);
    const { endpoint, region, bucket } = service;
    const ways = [
      { kind: 's3', endpoint, region, bucket, prefix, pathStyle: true, marker },
      { kind: 'proxied', url: 'http://127.0.0.1:9/objects', readToken: 't', expiresAtMs: Number.MAX_SAFE_INTEGER },
    ] as const;
    for (const [env, expected] of [
      [{ ...service.env, HOME: '/nonexistent' }, 's3://'],
      [{ HOME: '/nonexistent' }, 'block'],
      [{ AWS_ACCESS_KEY_ID: 'wrong', AWS_SECRET_ACCESS_KEY: 'wrong' }, 'block'],
    ] as const) {
      const blocks = await openBlockStore(ways, { env });
      expect(blocks.description.slice(0, 5)).toBe(expected);
      await blocks.close();
    }
    await store.close();
  });
});

describe('what the server teaches', () => {
  test('a region that is not the bucket’s is followed', async () => {
    const store = await openS3Store(service.url.replace(`region=${service.region}`, 'region=eu-west-3'), { env: service.env });
    expect(store.location.region).toBe(service.region);
    expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
    expect((await store.list('', { limit: 10 })).objects).toHaveLength(1);
    await store.close();
  });

  test('a clock that is an hour off is corrected', async () => {
    for (const offMs of [-3_600_000, 3_600_000]) {
      const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs };
      const store = await openS3Store(service.url, { env: service.env, clock });
      expect(await store.putIfAbsent('k', Buffer.from('x'))).toBe('created');
      expect(await store.head('k')).toMatchObject({ size: 1 });
      await store.delete(['k']);
      expect(await store.head('k')).toBeUndefined();
      await store.close();
    }
  });
});

describe('what goes wrong at the door', () => {
  test('wrong keys, a missing bucket, a closed port and a strange server are each named', async () => {
    const { url, env, endpoint } = service;
    const openCode = (where: string, keys: Readonly<Record<string, string>> = env) =>
      codeOf(openS3Store(where, { env: keys, retry: { attemptsMax: 2 } }));
    expect(await openCode(url, { ...env, AWS_SECRET_ACCESS_KEY: 'wrong' })).toBe('bad-credentials');
    expect(await openCode(url, { ...env, AWS_ACCESS_KEY_ID: 'nobody' })).toBe('bad-credentials');
    expect(await openCode(`s3://no-such-bucket?endpoint=${endpoint}`)).toBe('no-bucket');
    expect(await openCode('s3://bucket?endpoint=http://127.0.0.1:9')).toBe('store-unavailable');
    expect(await openCode('s3://bucket?endpoint=http://host.invalid')).toBe('store-unavailable');
  });
});

describe('a server that dies', () => {
  test('under load: everything acknowledged is there afterwards, and a put that waited for it succeeds', async () => {
    const store = await open({ deadlineMs: 20_000 });
    const acknowledged = new Map<string, Buffer>();
    let written = 0;
    let dying: Promise<void> | undefined;
    const writer = async (name: number): Promise<void> => {
      for (let at = 0; at < 30; at += 1) {
        const bytes = randomBytes(50_000);
        const key = `load/${name}/${at}`;
        if ((await store.putIfAbsent(key, bytes)) === 'created') acknowledged.set(key, bytes);
        written += 1;
        if (written === 40) dying = service.stop('keep').then(() => service.restart());
      }
    };
    const results = await Promise.allSettled([0, 1, 2, 3].map(writer));
    await dying;
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(acknowledged.size).toBe(120);
    for (const [key, bytes] of acknowledged) expect(Buffer.compare(await store.get(key), bytes)).toBe(0);
    await store.close();
  });
});
