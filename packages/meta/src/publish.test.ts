import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ROOT_INODE, type Body, type Extent, type Generation, type InodeNumber, type Piece, type UploadId } from '@nokv/types';
import { GC_KIND, extentKey, familyEnd, familyStart, FAMILY, gcUploadKey, uploadKey } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';
import { decodeExtent } from './value-body.js';

let shard: TestShard;

beforeEach(async () => {
  shard = await TestShard.open(new MemoryKv());
});
afterEach(() => shard.engine.close());

const TTL = 60_000;
const begin = async (): Promise<UploadId> => (await shard.do('begin-upload', { target: '/f', ttlMs: TTL })).result.upload;
const piece = (upload: UploadId, index: number, more: Partial<Piece> = {}): Piece => ({
  upload,
  index,
  offset: 0,
  length: 1000,
  crc32c: 0xdeadbeef,
  skip: 0,
  take: 1000,
  ...more,
});
const blocks = (...extents: Extent[]): Body => ({
  kind: 'blocks',
  manifest: { size: extents.reduce((sum, { take }) => sum + take, 0), extents },
});
const references = (upload: UploadId): number | undefined => {
  const bytes = shard.kv.get(extentKey(upload));
  return bytes === undefined ? undefined : decodeExtent(bytes).references;
};
const hasLedger = (upload: UploadId): boolean => shard.kv.get(uploadKey(upload)) !== undefined;

describe('publish', () => {
  test('gives each body its version as generation, also within one batch', async () => {
    const puts = await Promise.all(['1', '2', '3'].map((text) => shard.put('/f', text)));
    const generations = puts.map(({ result }) => result.generation as number);
    expect(generations).toEqual(puts.map(({ version }) => version));
    expect(new Set(generations).size).toBe(3);
    expect(puts.map(({ result }) => result.created)).toEqual([true, false, false]);
    expect(await shard.stat('/f')).toMatchObject({ generation: generations[2], ordinal: 3 });
    expect(shard.engine.stats.batches).toBe(1);
    for (const [i, generation] of generations.entries()) {
      const plan = await shard.read('open-read', { node: at('/f'), generation: generation as Generation });
      expect(Buffer.from(plan.body.kind === 'inline' ? plan.body.bytes : []).toString()).toBe(String(i + 1));
    }
  });

  test('honours ifGeneration: 0 creates only, another must be current', async () => {
    const first = (await shard.put('/f', '1', { ifGeneration: 0 as Generation })).result.generation;
    await expect(shard.put('/f', '2', { ifGeneration: 0 as Generation })).rejects.toMatchObject({ code: 'exists' });
    const second = (await shard.put('/f', '2', { ifGeneration: first })).result.generation;
    await expect(shard.put('/f', '3', { ifGeneration: first })).rejects.toMatchObject({
      code: 'generation-mismatch',
      kind: 'conflict',
      details: { generation: second },
    });
    await expect(shard.put('/none', '3', { ifGeneration: first })).rejects.toMatchObject({
      code: 'generation-mismatch',
      details: { generation: 0 },
    });
    expect(await shard.text('/f')).toBe('2');
  });

  test('of two conditional puts in one batch exactly one wins', async () => {
    const { generation } = (await shard.put('/f', '0')).result;
    const outcomes = await Promise.allSettled([
      shard.put('/f', 'a', { ifGeneration: generation }),
      shard.put('/f', 'b', { ifGeneration: generation }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(await shard.text('/f')).toBe('a');
  });

  test('honours ifDigest', async () => {
    await shard.put('/f', '1', { digest: 'sha256:aa', contentType: 'text/plain', producer: 'job-7' });
    expect(await shard.stat('/f')).toMatchObject({ digest: 'sha256:aa', contentType: 'text/plain', producer: 'job-7', inline: true });
    await expect(shard.put('/f', '2', { ifDigest: 'sha256:bb' })).rejects.toMatchObject({
      code: 'generation-mismatch',
      details: { digest: 'sha256:aa' },
    });
    await shard.put('/f', '2', { ifDigest: 'sha256:aa' });
  });

  test('follows a symlink at the end, also one that leads to nothing yet', async () => {
    await shard.mkdir('/d');
    await shard.do('symlink', { entry: at('/l'), target: Buffer.from('d/new'), ...OWNER });
    await shard.put('/l', 'through');
    expect(await shard.text('/d/new')).toBe('through');
    expect(await shard.stat('/l', false)).toMatchObject({ type: 'symlink' });
  });

  test('by inode, sets mode and mtime when told to', async () => {
    const ino = await shard.create('/f');
    const mtime = { sec: 5, nsec: 6 };
    await shard.do('publish', {
      node: { ino },
      body: inline('x'),
      mode: 0o755,
      setMode: true,
      mtime,
      ifGeneration: 0 as Generation,
      ...OWNER,
    });
    expect(await shard.stat('/f')).toMatchObject({ ino, mode: 0o755, mtime, ordinal: 1 });
    await expect(
      shard.do('publish', { node: { ino }, body: inline('x'), mode: 0, ifGeneration: 0 as Generation, ...OWNER }),
    ).rejects.toMatchObject({ code: 'generation-mismatch' });
    await expect(shard.do('publish', { node: { ino: 99 as InodeNumber }, body: inline('x'), mode: 0, ...OWNER })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(shard.put('/', 'x')).rejects.toMatchObject({ code: 'is-directory' });
  });

  test('a refused publish writes nothing, its parents neither', async () => {
    await expect(shard.put('/a/b/f', 'x', { parents: true, ifGeneration: 9 as Generation })).rejects.toMatchObject({
      code: 'generation-mismatch',
    });
    expect(await shard.names('/')).toEqual([]);
    await shard.put('/a/b/f', 'x', { parents: true });
    expect(await shard.stat('/a/b')).toMatchObject({ type: 'directory', mode: 0o755 });
  });
});

describe('pieces', () => {
  test('come from the open upload of the publish; the ledger row goes with it', async () => {
    const upload = await begin();
    expect(shard.engine.hasUpload(upload)).toBe(true);
    await shard.put('/f', '', { body: blocks(piece(upload, 0), piece(upload, 1, { take: 10 })), upload });
    expect(await shard.stat('/f')).toMatchObject({ size: 1010, blocks: 2, inline: false });
    expect(hasLedger(upload)).toBe(false);
    expect(shard.engine.hasUpload(upload)).toBe(false);
    expect(references(upload)).toBe(1);
  });

  test('of unknown, ended or foreign uploads are refused', async () => {
    const upload = await begin();
    const other = await begin();
    await shard.do('end-upload', { upload: other });
    const unknown = 'f'.repeat(32) as UploadId;
    for (const named of [other, unknown]) {
      await expect(shard.put('/f', '', { body: blocks(piece(named, 0)), upload: named })).rejects.toMatchObject({ code: 'bad-upload' });
      await expect(shard.put('/f', '', { body: blocks(piece(upload, 0), piece(named, 0)), upload })).rejects.toMatchObject({
        code: 'bad-upload',
      });
    }
    await expect(shard.put('/f', '', { body: blocks(piece(upload, 0)) })).rejects.toMatchObject({ code: 'bad-upload' });
    shard.clock.ms += TTL + 1;
    await expect(shard.put('/f', '', { body: blocks(piece(upload, 0)), upload })).rejects.toMatchObject({ code: 'bad-upload' });
    expect(await shard.names('/')).toEqual([]);
  });

  test('of a body that the base has or had may be used again, unaltered', async () => {
    const upload = await begin();
    const { ino } = (await shard.put('/f', '', { body: blocks(piece(upload, 0), piece(upload, 1)), upload })).result.attributes;
    await shard.put('/f', 'inline now');
    await shard.put('/f', '', { body: blocks(piece(upload, 1, { skip: 5, take: 3 }), { hole: true, take: 7 }) });
    expect(await shard.stat('/f')).toMatchObject({ size: 10, blocks: 1 });
    expect(references(upload)).toBe(2);
    await shard.put('/copy', '', { body: blocks(piece(upload, 0)), base: ino });
    expect(references(upload)).toBe(3);
    await expect(shard.put('/copy2', '', { body: blocks(piece(upload, 0)) })).rejects.toMatchObject({ code: 'bad-upload' });
    await expect(shard.put('/copy2', '', { body: blocks(piece(upload, 0, { crc32c: 1 })), base: ino })).rejects.toMatchObject({
      code: 'bad-upload',
    });
  });

  test('that contradict themselves are refused', async () => {
    const upload = await begin();
    const bad: Body[] = [
      { kind: 'blocks', manifest: { size: 5, extents: [piece(upload, 0)] } },
      blocks(piece(upload, 0, { skip: 1 })),
      blocks(piece(upload, 1_000_000)),
      blocks(piece(upload, 0, { take: 0 })),
      blocks({ hole: true, take: -1 }),
    ];
    for (const body of bad) await expect(shard.put('/f', '', { body, upload })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('truncating cuts pieces and keeps their blocks', async () => {
    const upload = await begin();
    await shard.put('/f', '', { body: blocks(piece(upload, 0), { hole: true, take: 500 }, piece(upload, 1)), upload });
    await shard.do('setattr', { node: at('/f'), size: 1200 });
    const cut = await shard.read('open-read', { node: at('/f') });
    expect(cut.body).toEqual(blocks(piece(upload, 0), { hole: true, take: 200 }));
    await shard.do('setattr', { node: at('/f'), size: 2000 });
    expect((await shard.read('open-read', { node: at('/f') })).body).toEqual(blocks(piece(upload, 0), { hole: true, take: 1000 }));
    expect(await shard.read('statfs', {})).toMatchObject({ bytesUsed: 1000 });
    expect(references(upload)).toBe(3);
  });
});

describe('staging ledger', () => {
  test('renewing moves the expiry forward only', async () => {
    const upload = await begin();
    const renewed = (await shard.do('renew-upload', { upload, ttlMs: 2 * TTL })).result.expiresAt;
    expect((await shard.do('renew-upload', { upload, ttlMs: 1 })).result.expiresAt).toEqual(renewed);
    shard.clock.ms += TTL + 1;
    await shard.maintain();
    expect(shard.engine.hasUpload(upload)).toBe(true);
    await expect(shard.do('renew-upload', { upload: '0'.repeat(32) as UploadId, ttlMs: 1 })).rejects.toMatchObject({ code: 'no-upload' });
    await expect(shard.do('begin-upload', { target: '', ttlMs: 2 ** 40 })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('an expired upload loses its blocks first, then its row', async () => {
    const upload = await begin();
    shard.clock.ms += TTL + 1;
    await shard.maintain();
    expect(hasLedger(upload)).toBe(true);
    expect(shard.engine.hasUpload(upload)).toBe(false);
    shard.clock.ms += 61_000;
    const removed: string[] = [];
    await shard.maintain((gone) => {
      expect(hasLedger(upload)).toBe(true);
      removed.push(gone);
      return Promise.resolve();
    });
    expect(removed).toEqual([upload]);
    expect(hasLedger(upload)).toBe(false);
    expect([...shard.kv.range(familyStart(FAMILY.gc), familyEnd(FAMILY.gc))]).toEqual([]);
  });

  test('blocks that could not be removed are tried again', async () => {
    const upload = await begin();
    await shard.do('end-upload', { upload });
    await shard.do('end-upload', { upload });
    shard.clock.ms += 61_000;
    await expect(shard.engine.maintain(() => Promise.reject(new Error('store away')))).rejects.toThrow('store away');
    expect(hasLedger(upload)).toBe(true);
    const removed: string[] = [];
    await shard.maintain((gone) => Promise.resolve(void removed.push(gone)));
    expect(removed).toEqual([upload]);
    expect(hasLedger(upload)).toBe(false);
  });

  test('blocks go only after the last body that names them, and its retention, is gone', async () => {
    const upload = await begin();
    await shard.put('/f', '', { body: blocks(piece(upload, 0)), upload });
    await shard.do('link', { node: at('/f'), entry: at('/g') });
    await shard.do('unlink', { entry: at('/f') });
    shard.clock.ms += 48 * 3600 * 1000;
    const removed: string[] = [];
    const remove = (gone: string): Promise<void> => Promise.resolve(void removed.push(gone));
    await shard.maintain(remove);
    expect(references(upload)).toBe(1);
    await shard.do('unlink', { entry: at('/g') });
    await shard.maintain(remove);
    expect(references(upload)).toBe(1);
    shard.clock.ms += 25 * 3600 * 1000;
    await shard.maintain(remove);
    expect(references(upload)).toBe(0);
    shard.clock.ms += 11 * 60 * 1000;
    await shard.maintain(remove);
    expect(removed).toEqual([upload]);
    expect(references(upload)).toBeUndefined();
  });

  test('a queued row of an extent that is in use removes nothing', async () => {
    const upload = await begin();
    await shard.put('/f', '', { body: blocks(piece(upload, 0)), upload });
    await shard.kv.commit([{ key: gcUploadKey(1, GC_KIND.extent, upload), value: new Uint8Array(0) }]).flushed;
    await shard.maintain(() => Promise.reject(new Error('must not be called')));
    expect(references(upload)).toBe(1);
  });

  test('while the gate is closed no block is removed', async () => {
    const upload = await begin();
    await shard.do('end-upload', { upload });
    shard.clock.ms += 61_000;
    shard.engine.setGate({ refusal: () => new Error('lease lost') });
    await expect(shard.engine.maintain(() => Promise.reject(new Error('must not be called')))).rejects.toThrow('lease lost');
    expect(() => shard.engine.read('getattr', { ino: ROOT_INODE }, { visible: true })).toThrow('lease lost');
    await expect(shard.create('/x')).rejects.toThrow('lease lost');
  });
});

describe('bodies that are offered by their digest', () => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  const share = async (path: string): Promise<InodeNumber> => {
    const upload = await begin();
    const { result } = await shard.put(path, '', { body: blocks(piece(upload, 0)), upload, digest, share: true });
    return result.attributes.ino;
  };

  test('are found while they are there, the first that was offered before the others', async () => {
    expect(await shard.read('find-body', { digest })).toEqual({});
    const first = await share('/a');
    const second = await share('/b');
    expect(await shard.read('find-body', { digest })).toMatchObject({ ino: first });
    // Superseded, its blocks are still there.
    await shard.put('/a', 'other');
    expect(await shard.read('find-body', { digest })).toMatchObject({ ino: first });
    expect(second).not.toBe(first);
  });

  test('only those that were published so, in blocks and with a sha256', async () => {
    const upload = await begin();
    await shard.put('/plain', '', { body: blocks(piece(upload, 0)), upload, digest });
    await shard.put('/small', 'x', { digest, share: true });
    const other = await begin();
    await shard.put('/text', '', { body: blocks(piece(other, 0)), upload: other, digest: 'md5:00', share: true });
    expect(await shard.read('find-body', { digest })).toEqual({});
    await expect(shard.read('find-body', { digest: 'md5:00' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('parts of a body', () => {
  test('are put into the body that the commit finds; what is not touched keeps its references', async () => {
    const upload = await begin();
    await shard.put('/f', '', { body: blocks(piece(upload, 0), piece(upload, 1)), upload, contentType: 'text/plain', digest: 'sha256:aa' });
    const added = await begin();
    const put = shard.put('/f', '', { body: blocks(piece(added, 0)), upload: added, splices: [{ length: 1000 }] });
    const patched = await begin();
    const patch = shard.put('/f', '', { body: blocks(piece(patched, 0)), upload: patched, splices: [{ offset: 500, length: 1000 }] });
    await Promise.all([put, patch]);
    const plan = await shard.read('open-read', { node: at('/f') });
    expect(plan).toMatchObject({ contentType: 'text/plain', body: { manifest: { size: 3000 } } });
    expect(plan.digest).toBeUndefined();
    expect(plan.body.kind === 'blocks' && plan.body.manifest.extents).toEqual([
      piece(upload, 0, { take: 500 }),
      piece(patched, 0),
      piece(upload, 1, { skip: 500, take: 500 }),
      piece(added, 0),
    ]);
    expect([references(upload), references(added), references(patched)]).toEqual([3, 2, 1]);
  });

  test('refuse what does not fit together, and change nothing', async () => {
    await shard.put('/small', 'abc');
    const upload = await begin();
    const sent = { body: blocks(piece(upload, 0)), upload };
    await expect(shard.put('/small', '', { ...sent, splices: [{ length: 1000 }] })).rejects.toMatchObject({ code: 'too-large' });
    await expect(shard.put('/small', '', { ...sent, splices: [{ length: 999 }] })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(shard.put('/small', '', { ...sent, splices: [] })).rejects.toMatchObject({ code: 'invalid-argument' });
    const lies = { compression: { codec: 'brotli' as const, plainLength: 2 ** 31, plainCrc32c: 1 } };
    await expect(shard.put('/big', '', { ...sent, body: blocks(piece(upload, 0, lies)) })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(await shard.text('/small')).toBe('abc');
    await shard.put('/small', 'D', { splices: [{ length: 1 }] });
    expect(await shard.text('/small')).toBe('abcD');
    expect((await shard.stat('/small')).digest).toMatch(/^sha256:/);
  });
});
