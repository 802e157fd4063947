/** What a person is told of a store, and which cheats the admission catches. */
import { NokvError } from '@nokv/types';
import { afterEach, describe, expect, test } from 'vitest';
import { admissionProbe } from './admission-probe.js';
import { examineStore, type CapabilityFinding } from './examine-store.js';
import { memoryStore } from './memory/memory-object-store.js';
import type { ObjectStore } from './object-store.js';
import { openS3Store } from './s3/s3-object-store.js';
import { startS3Double, type S3Double, type S3DoubleOptions } from './testing/index.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', HOME: '/nonexistent' };
const retry = { firstDelayMs: 1, attemptsMax: 2, deadlineMs: 5000 };

let double: S3Double | undefined;
afterEach(async () => {
  await double?.stop();
  double = undefined;
});

async function open(options: S3DoubleOptions, more = ''): Promise<ObjectStore> {
  double = await startS3Double(options);
  return openS3Store(double.url + more, { env, retry });
}

async function findings(store: ObjectStore): Promise<Map<string, CapabilityFinding>> {
  const found = new Map<string, CapabilityFinding>();
  for await (const finding of examineStore(store)) found.set(finding.capability, finding);
  return found;
}

const resultsOf = (found: ReadonlyMap<string, CapabilityFinding>) =>
  Object.fromEntries([...found].map(([name, { result }]) => [name, result]));

const SOUND = {
  'create-if-absent': 'there',
  'one-winner': 'there',
  'range-read': 'there',
  'list-after-write': 'there',
  'bulk-delete': 'there',
  checksums: 'there',
  encryption: 'lacking',
  clock: 'there',
  latency: 'there',
};

test('a sound server is told as such, with what follows, and left empty', async () => {
  const store = await open({});
  const found = await findings(store);
  expect(resultsOf(found)).toEqual(SOUND);
  for (const { found: what, consequence } of found.values()) expect([what.length, consequence.length]).not.toContain(0);
  expect(double?.objects.size).toBe(0);
  await store.close();
});

describe('a server that cheats', () => {
  test.each<[string, S3DoubleOptions, string, string]>([
    ['ignores If-None-Match', { conditions: 'ignored' }, 'create-if-absent', 'second put of a key was answered "created"'],
    ['honours it only one at a time', { conditions: 'one-at-a-time' }, 'one-winner', 'of 20 puts of one key at once'],
    ['lists late', { listLate: true }, 'list-after-write', 'of 5 objects just written a listing showed 0'],
    ['deletes nothing', { deleteNothing: true }, 'bulk-delete', 'were still listed after their deletion'],
  ])('and %s is refused, and the doctor says which and why', async (_how, options, capability, what) => {
    const store = await open(options);
    await expect(admissionProbe(store)).rejects.toMatchObject({
      code: 'store-unfit',
      details: { [capability]: expect.stringContaining(what), 'range-read': 'yes' },
    });
    expect((await findings(store)).get(capability)).toMatchObject({
      result: 'missing',
      found: expect.stringContaining(what),
      consequence: expect.stringMatching(/no server starts/),
    });
    await store.close();
  });
});

test('what nokv does without is lacking, not missing', async () => {
  const store = await open(
    { checkNoChecksums: true, keepNoChecksums: true, ignoreRanges: true, nowMs: () => Date.now() + 600_000 },
    '&sse=aws:kms',
  );
  const found = await findings(store);
  expect(resultsOf(found)).toEqual({ ...SOUND, checksums: 'lacking', clock: 'lacking' });
  expect(found.get('encryption')?.found).toContain('asked for');
  expect(found.get('clock')?.found).toMatch(/^the store's clock is (59\d|60\d) s ahead of ours$/);
  await admissionProbe(store);
  await store.close();
});

test('a store that may be read and not written is told with its refusal', async () => {
  const denied = new NokvError('permission-denied', 'these keys may not do this');
  const found = await findings(memoryStore({ faults: [{ on: 'put', times: 1e6, effect: { kind: 'fail', error: denied } }] }));
  expect(found.get('create-if-absent')).toMatchObject({ result: 'missing', error: denied });
  expect(found.has('latency')).toBe(false);
});
