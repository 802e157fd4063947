/** What every way to blocks must do. */
import { randomBytes } from 'node:crypto';
import { makeUploadId, systemClock, type UploadId } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32c } from '../block-checksum.js';
import type { BlockStore } from '../block-store.js';
import { codeOf } from './object-store-conformance.js';

export interface OpenedBlocks {
  readonly blocks: BlockStore;
  /** Records an upload, where the way asks for a ticket. */
  readonly begin?: ((upload: UploadId) => Promise<string | undefined>) | undefined;
  readonly remove?: (() => Promise<void>) | undefined;
}

export function blockStoreConformance(name: string, open: () => Promise<OpenedBlocks>): void {
  describe(`block store: ${name}`, () => {
    let opened: OpenedBlocks;
    let blocks: BlockStore;
    const begin = async (): Promise<{ upload: UploadId; ticket: string | undefined }> => {
      const upload = makeUploadId(systemClock.nowMs(), randomBytes(10));
      return { upload, ticket: await opened.begin?.(upload) };
    };

    beforeAll(async () => {
      opened = await open();
      blocks = opened.blocks;
    });
    afterAll(async () => {
      await opened?.blocks.close();
      await opened?.remove?.();
    });

    test('a block comes back, whole and in parts', async () => {
      const { upload, ticket } = await begin();
      const bytes = randomBytes(300_000);
      await blocks.putBlock(upload, 7, bytes, { crc32c: crc32c(bytes), ticket });
      for (const [offset, length] of [
        [0, 300_000],
        [0, 1],
        [299_999, 1],
        [1000, 4096],
      ] as const) {
        expect(Buffer.compare(await blocks.getBlock(upload, 7, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
      }
    });

    test('the same bytes again count as written; others are corrupt and change nothing', async () => {
      const { upload, ticket } = await begin();
      const bytes = randomBytes(5000);
      const sameLength = randomBytes(5000);
      const shorter = randomBytes(4000);
      await blocks.putBlock(upload, 0, bytes, { crc32c: crc32c(bytes), ticket });
      await blocks.putBlock(upload, 0, bytes, { crc32c: crc32c(bytes), ticket });
      expect(await codeOf(blocks.putBlock(upload, 0, sameLength, { crc32c: crc32c(sameLength), ticket }))).toBe('corrupt');
      expect(await codeOf(blocks.putBlock(upload, 0, shorter, { crc32c: crc32c(shorter), ticket }))).toBe('corrupt');
      expect(Buffer.compare(await blocks.getBlock(upload, 0, 0, 5000), bytes)).toBe(0);
    });

    test('a missing block is no-object, a range beyond its end corrupt', async () => {
      const { upload, ticket } = await begin();
      const bytes = randomBytes(100);
      await blocks.putBlock(upload, 0, bytes, { crc32c: crc32c(bytes), ticket });
      expect(await codeOf(blocks.getBlock(upload, 1, 0, 10))).toBe('no-object');
      expect(await codeOf(blocks.getBlock(upload, 0, 50, 51))).toBe('corrupt');
    });

    test('many blocks at once', async () => {
      const { upload, ticket } = await begin();
      const bodies = Array.from({ length: 40 }, () => randomBytes(20_000));
      await Promise.all(bodies.map((bytes, index) => blocks.putBlock(upload, index, bytes, { crc32c: crc32c(bytes), ticket })));
      const found = await Promise.all(bodies.map((_, index) => blocks.getBlock(upload, index, 0, 20_000)));
      found.forEach((bytes, index) => expect(Buffer.compare(bytes, bodies[index] ?? Buffer.alloc(0))).toBe(0));
    });

    test('a call whose signal has fired does nothing', async () => {
      const { upload, ticket } = await begin();
      const bytes = randomBytes(10);
      const signal = AbortSignal.abort();
      expect(await codeOf(blocks.putBlock(upload, 0, bytes, { crc32c: crc32c(bytes), ticket, signal }))).toBe('cancelled');
      expect(await codeOf(blocks.getBlock(upload, 0, 0, 10))).toBe('no-object');
    });
  });
}
