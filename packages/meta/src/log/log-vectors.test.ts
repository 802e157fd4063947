/** The layouts of the shared log are frozen byte by byte; decoders refuse every change of them. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Epoch, InodeNumber, RequestId, ShardId, UploadId, Version } from '@nokv/types';
import type { Command } from '../command.js';
import { SYSTEM_ITEM, outboxKey, systemKey } from '../key.js';
import { decodeManifest, encodeBlock, encodeManifest, rowsOfBlock, type ImageManifest } from './image.js';
import { imagePrefix, originKey, segmentKey } from './log-key.js';
import { decodeLogPosition, encodeLogPosition } from './log-position.js';
import { rowsDigest } from './rows-digest.js';
import { decodeSegment, encodeSegment, type Segment } from './segment.js';

const golden = JSON.parse(readFileSync(new URL('../../src/vectors/log.json', import.meta.url), 'utf8')) as Record<string, string>;

const shard = 7 as ShardId;
const epoch = 3 as Epoch;
const previous = Uint8Array.from({ length: 32 }, (_, i) => i);
const drawn = {
  actor: 'agent/é',
  time: { sec: 1_800_000_000, nsec: 999_999_999 },
  freshInode: (2 ** 41 + 5) as InodeNumber,
  freshUpload: undefined,
  retention: { bodyMs: 86_400_000, bodiesKept: 1, uploadMs: 60_000, extentMs: 600_000 },
};
const commands: Command[] = [
  {
    ...drawn,
    operation: 'mkdir',
    args: { entry: { path: Uint8Array.from(Buffer.from('a/b')) }, mode: 0o755, uid: 0, gid: 0 },
    requestId: 'r-1' as RequestId,
    digest: 2 ** 52 + 1,
  },
  {
    ...drawn,
    operation: 'begin-upload',
    args: { target: 'x', ttlMs: 1000 },
    requestId: 'r-2' as RequestId,
    digest: 12,
    freshUpload: '0123456789abcdef0123456789abcdef' as UploadId,
  },
  { ...drawn, operation: 'sweep', args: { key: Uint8Array.of(0x60, 0, 1), value: new Uint8Array(0), blocksRemoved: true } },
  { ...drawn, operation: 'adopt-epoch', args: { epoch } },
];
const writes = [
  { key: Uint8Array.of(0x10, 1), value: Uint8Array.of(1, 2, 3) },
  { key: Uint8Array.of(0x11, 1), value: undefined },
];
const segment: Segment = {
  shard,
  epoch,
  sequence: 2 ** 33 + 1,
  previous,
  batches: [{ firstVersion: (2 ** 40 + 1) as Version, commands, rowsDigest: rowsDigest(writes) }],
};
const rows = [
  { key: Uint8Array.of(0x10, 1), value: Uint8Array.of(1, 2, 3) },
  { key: Uint8Array.of(0x11, 1, 0x61), value: new Uint8Array(0) },
];
const manifest: ImageManifest = {
  format: 1,
  shard,
  namespace: 'ef'.repeat(16),
  shardFormat: 1,
  sequence: 12,
  epoch,
  segmentDigest: '00'.repeat(32),
  version: 99,
  madeMs: 1_800_000_000_000,
  rows: 2,
  bytes: 34,
  stateDigest: 'ab'.repeat(32),
  blocks: [{ bytes: 34, rows: 2, sha256: 'cd'.repeat(32) }],
};

const LAYOUTS: Record<string, string> = {
  'key of the origin': originKey(shard),
  'key of a segment': segmentKey(shard, segment.sequence),
  'prefix of an image': imagePrefix(shard, 12, '0badcafe'),
  'row of the position': hex(systemKey(SYSTEM_ITEM.log)),
  'row of the outbox': hex(outboxKey(2 ** 33 + 1)),
  position: hex(encodeLogPosition({ sequence: 2 ** 33 + 1, epoch, digest: previous })),
  fence: hex(encodeSegment({ ...segment, batches: [] }).bytes),
  segment: hex(encodeSegment(segment).bytes),
  block: hex(encodeBlock(5, rows, 2 * 6 + 2 + 3 + 3)),
  manifest: Buffer.from(encodeManifest(manifest)).toString(),
};

describe('golden vectors of the log', () => {
  test('are what is written', () => {
    expect(LAYOUTS).toEqual(golden);
  });
});

describe('decoding', () => {
  test('gives back what was encoded, commands and all', () => {
    const decoded = decodeSegment('k', bytesOf('segment'));
    expect(decoded).toMatchObject({ shard, epoch, sequence: segment.sequence });
    expect(plain(decoded.batches)).toEqual(plain(segment.batches));
    expect(decodeSegment('k', bytesOf('fence')).batches).toEqual([]);
    expect(decodeLogPosition(bytesOf('position'))).toEqual({ sequence: 2 ** 33 + 1, epoch, digest: previous });
    expect(decodeManifest('k', Buffer.from(golden['manifest'] ?? ''))).toEqual(manifest);
    expect(plain([...rowsOfBlock('k', bytesOf('block'), 5)])).toEqual(plain(rows));
  });

  test('refuses a segment with any bit changed, or cut anywhere, and names it', () => {
    const whole = bytesOf('segment');
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      expect(() => decodeSegment('the/key', changed), `bit at ${at}`).toThrow('the/key');
      expect(() => decodeSegment('the/key', whole.subarray(0, at)), `cut at ${at}`).toThrow('the/key');
    }
  });

  test('refuses a manifest with any byte changed', () => {
    const text = golden['manifest'] ?? '';
    for (let at = 0; at < text.length; at++) {
      const changed = text.slice(0, at) + (text[at] === '7' ? '8' : '7') + text.slice(at + 1);
      expect(() => decodeManifest('the/key', Buffer.from(changed)), `byte ${at}`).toThrow('the/key');
    }
  });

  test('refuses a format of another number, naming both', () => {
    const later = bytesOf('segment');
    later[5] = 9;
    expect(() => decodeSegment('k', later)).toThrow(/format 1 in k, found 9/);
  });
});

function bytesOf(name: string): Buffer {
  return Buffer.from(golden[name] ?? '', 'hex');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Whatever kind of array bytes are in. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
