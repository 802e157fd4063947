/** Directories and files by the ten thousand: what an operation costs is counted on the server, not timed. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePath, type InodeNumber } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

const ENTRIES = 65_000;
const IN_FLIGHT = 512;

let fixture: ClientFixture;
let big: InodeNumber;

beforeAll(async () => {
  fixture = await startClientFixture();
  const { metadata } = fixture.client;
  big = (await fixture.client.mkdir('/big')).attributes.ino;
  await each(ENTRIES, (i) =>
    metadata.mutate('create', {
      entry: { parent: big, name: nameOf(i) },
      mode: 0o644,
      type: 'file',
      exclusive: true,
      uid: 0,
      gid: 0,
    }),
  );
}, 120_000);

afterAll(async () => await fixture?.close());

describe(`a directory of ${ENTRIES} entries`, () => {
  test('is listed once each, in name order, in 70 requests at most and without a read per entry', async () => {
    const before = await counters();
    const names: string[] = [];
    for await (const entry of fixture.client.list('/big')) {
      expect(entry.attributes?.ino).toBe(entry.ino);
      names.push(entry.name);
    }
    const after = await counters();
    expect(names).toHaveLength(ENTRIES);
    expect(names).toEqual(names.toSorted());
    expect(new Set(names).size).toBe(ENTRIES);
    const requests = after.requests - before.requests;
    expect(requests).toBeGreaterThanOrEqual(ENTRIES / 4096);
    expect(requests).toBeLessThanOrEqual(70);
    expect(after.rowsRead - before.rowsRead).toBeGreaterThanOrEqual(ENTRIES);
    // Each entry is one row of the scan; the directory itself is resolved once a page.
    expect(after.rowsRead - before.rowsRead).toBeLessThan(ENTRIES + requests * 10);
  });

  test('is frozen and cloned without a look at its entries, and listed at the snapshot while they go', async () => {
    const { client } = fixture;
    const before = await counters();
    const { pin } = await client.snapshots.create('/big');
    await client.clone('/big', '/copy');
    // A snapshot and a clone read the rows of their paths and places, not those of what is below.
    expect((await counters()).rowsRead - before.rowsRead).toBeLessThan(200);
    const seen: string[] = [];
    for await (const { name } of client.list('/big', { at: { snapshot: pin.id }, limit: 4096 })) {
      seen.push(name);
      // One of every hundred, ahead of the reader.
      if (seen.length % 100 === 0) await client.unlink(`/copy/${name}`);
    }
    expect(seen).toHaveLength(ENTRIES);
    expect(seen).toEqual(seen.toSorted());
    let copied = 0;
    for await (const { name } of client.list('/copy', { attributes: false, limit: 4096 })) copied += name.length > 0 ? 1 : 0;
    expect(copied).toBe(ENTRIES - Math.floor(ENTRIES / 100));
    expect((await client.stat('/big')).children).toBe(ENTRIES);
    await client.snapshots.retire(pin.id);
  }, 120_000);

  test('is renamed by as few row reads as an empty one, while a reader sees the old name or the new one', async () => {
    const { client } = fixture;
    await client.mkdir('/empty');
    let isDone = false;
    const seen = { reads: 0, bad: [] as string[] };
    const reader = (async () => {
      while (!isDone) {
        const found = await Promise.all(
          ['/big', '/moved'].map((path) =>
            client.metadata.read('stat', { node: { path: parsePath(path) } }).then(
              ({ ino, children }) => (ino === big && children === ENTRIES ? 'whole' : 'wrong'),
              () => 'absent',
            ),
          ),
        );
        seen.reads += 1;
        if (found.includes('wrong')) seen.bad.push(found.join());
      }
    })();
    for (let i = 0; i < 10; i++) {
      await client.rename('/big', '/moved');
      await client.rename('/moved', '/big');
    }
    isDone = true;
    await reader;
    expect(seen.reads).toBeGreaterThan(10);
    expect(seen.bad).toEqual([]);

    const rows = async (from: string, to: string) => {
      const before = (await counters()).rowsRead;
      await client.rename(from, to);
      return (await counters()).rowsRead - before;
    };
    const ofEmpty = await rows('/empty', '/other');
    expect(ofEmpty).toBeGreaterThan(0);
    expect(await rows('/big', '/moved')).toBeLessThanOrEqual(ofEmpty + 2);
  });
});

test('10,000 files of 1 KiB put no object, and a body that grows and shrinks across the limit reads back', async () => {
  const { client, directory } = fixture;
  await client.mkdir('/small');
  await each(10_000, (i) => client.put(`/small/${i}`, new Uint8Array(1024).fill(i)));
  const blocks = () => readdir(join(directory, 'data', 'objects', 'blocks'), { recursive: true }).catch(() => []);
  expect(await blocks()).toEqual([]);
  for (const size of [1024, 16_384, 16_385, 100_000, 16_384, 1]) {
    const body = new Uint8Array(size).fill(size % 251);
    await client.put('/small/0', body);
    expect(Buffer.compare(await (await client.get('/small/0')).bytes(), body)).toBe(0);
  }
}, 60_000);

function nameOf(i: number): Uint8Array {
  return Buffer.from(`entry-${String((i * 7919) % ENTRIES).padStart(6, '0')}`);
}

/** Runs `work` for 0 to `count - 1`, some hundred at a time. */
async function each(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/** Requests answered so far, and rows that the shard has read. */
async function counters(): Promise<{ requests: number; rowsRead: number }> {
  const page = await (await fetch(`http://${fixture.server.http}/metrics`)).text();
  const sum = (name: string) =>
    page
      .split('\n')
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  return { requests: sum('nokv_rpc_request_seconds_count'), rowsRead: sum('nokv_shard_rows_read_total') };
}
