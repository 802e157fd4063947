import { describe, expect, test } from 'vitest';
import {
  LOCAL_INODES_PER_SHARD,
  batchItemIds,
  inodeNumber,
  localOfInode,
  makeInodeNumber,
  makeUploadId,
  requestId,
  shardId,
  shardOfInode,
  uploadId,
} from './ids.js';

describe('inode numbers', () => {
  test('carry their shard up to the last inode of the last shard', () => {
    for (const [shard, local] of [
      [0, 1],
      [1, 1],
      [4095, LOCAL_INODES_PER_SHARD - 1],
    ] as const) {
      const ino = makeInodeNumber(shardId(shard), local);
      expect(Number.isSafeInteger(ino)).toBe(true);
      expect([shardOfInode(ino), localOfInode(ino)]).toEqual([shard, local]);
    }
  });

  test('0, fractions, unsafe integers and foreign shards are refused', () => {
    for (const value of [0, -1, 1.5, 2 ** 53, Number.NaN]) expect(() => inodeNumber(value)).toThrow();
    expect(() => shardId(4096)).toThrow();
  });
});

describe('upload ids', () => {
  test('are ordered by time and random behind it', () => {
    const first = makeUploadId(1000, new Uint8Array(10).fill(0xff));
    const second = makeUploadId(1001, new Uint8Array(10));
    expect(first < second).toBe(true);
    expect(uploadId(first)).toBe(first);
    expect(() => uploadId('../../etc')).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});

test('request ids are 1 to 64 plain characters', () => {
  expect(requestId('run-7:step_1.a')).toBe('run-7:step_1.a');
  for (const bad of ['', 'x'.repeat(65), 'a b', 'ü']) expect(() => requestId(bad)).toThrow();
});

test('items of a batch count on from its id, or add their place', () => {
  const idAt = batchItemIds(requestId('0192f5c3a1b20123456789ab00000001'));
  expect([idAt(0), idAt(1), idAt(255)]).toEqual([
    '0192f5c3a1b20123456789ab00000001',
    '0192f5c3a1b20123456789ab00000002',
    '0192f5c3a1b20123456789ab00000100',
  ]);
  expect(batchItemIds(requestId('0192f5c3a1b20123456789abffffffff'))(1)).toBe('0192f5c3a1b20123456789ab00000000');
  expect(batchItemIds(requestId('own'))(7)).toBe('own.7');
});
