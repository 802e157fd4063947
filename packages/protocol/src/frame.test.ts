import { describe, expect, it } from 'vitest';
import { FRAME_HEADER_BYTES, FRAME_TYPES, FrameDecoder } from './frame.js';
import { MessageWriter } from './message-writer.js';

describe('FrameDecoder', () => {
  it('steps over a payload beyond the limit, says whose it was, and goes on, wherever the bytes are cut', () => {
    const bytes = Buffer.concat([frame(FRAME_TYPES.request, 4, 101), frame(FRAME_TYPES.request, 5, 100)]);
    for (let size = 1; size <= bytes.length; size++) {
      const decoder = new FrameDecoder(100);
      const seen: unknown[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        decoder.push(bytes.subarray(at, at + size));
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
          seen.push([next.stream, next.payload.length, next.oversize]);
        }
      }
      expect(seen, `in chunks of ${size}`).toEqual([
        [4, 0, 101],
        [5, 100, undefined],
      ]);
    }
  });

  it('keeps nothing of a payload of 4 GiB', () => {
    const decoder = new FrameDecoder(1000);
    const header = new Uint8Array(FRAME_HEADER_BYTES).fill(0xff, 0, 4);
    header[4] = FRAME_TYPES.request;
    decoder.push(header);
    expect(decoder.next()).toMatchObject({ oversize: 0xffffffff });
    for (let i = 0; i < 100; i++) {
      decoder.push(new Uint8Array(65536));
      expect(decoder.next()).toBeUndefined();
      expect(decoder.isDrained).toBe(true);
    }
  });

  it.each([0, 13, 0x20, 255])('refuses frame type %i and everything after it', (type) => {
    const decoder = new FrameDecoder(1000);
    const bytes = new Uint8Array(20);
    bytes[4] = type;
    decoder.push(bytes);
    expect(() => decoder.next()).toThrow(/expected a frame type from 1 to 12/);
    decoder.push(frame(FRAME_TYPES.ping, 0, 8));
    expect(() => decoder.next()).toThrow(/expected a frame type/);
  });

  it('goes on with kept bytes after the lender changed them', () => {
    const lent = Buffer.concat([
      frame(FRAME_TYPES.credit, 1, 4),
      frame(FRAME_TYPES.credit, 2, 4),
      frame(FRAME_TYPES.credit, 3, 4).subarray(0, 11),
    ]);
    const decoder = new FrameDecoder(1000);
    decoder.push(lent);
    expect(decoder.next()?.stream).toBe(1);
    decoder.keep();
    lent.fill(0xff);
    expect(decoder.isDrained).toBe(false);
    decoder.push(frame(FRAME_TYPES.credit, 3, 4).subarray(11));
    expect(decoder.next()?.stream).toBe(2);
    expect(decoder.next()).toMatchObject({ stream: 3, payload: Buffer.alloc(4, 1) });
    expect(decoder.next()).toBeUndefined();
  });
});

describe('MessageWriter', () => {
  it('never changes bytes that it handed out', () => {
    const writer = new MessageWriter(16);
    const taken: { bytes: Uint8Array; copy: Uint8Array }[] = [];
    for (let i = 0; i < 200; i++) {
      writer.beginFrame(FRAME_TYPES.response, i);
      writer.binary(new Uint8Array(i).fill(i));
      writer.endFrame(1000);
      const bytes = writer.take();
      taken.push({ bytes, copy: Uint8Array.from(bytes) });
    }
    for (const { bytes, copy } of taken) expect(Uint8Array.from(bytes)).toEqual(copy);
  });

  it('takes back a frame that is over the limit and leaves the others', () => {
    const writer = new MessageWriter();
    writer.beginFrame(FRAME_TYPES.response, 1);
    writer.binary(new Uint8Array(10));
    writer.endFrame(100);
    const before = writer.length;
    writer.beginFrame(FRAME_TYPES.response, 2);
    writer.binary(new Uint8Array(200_000));
    expect(() => writer.endFrame(100)).toThrow(/at most 100 bytes here, this message needs 200005/);
    expect(writer.length).toBe(before);
    writer.beginFrame(FRAME_TYPES.response, 3);
    writer.endFrame(100);
    const decoder = new FrameDecoder(1000);
    decoder.push(writer.take());
    expect([decoder.next()?.stream, decoder.next()?.stream, decoder.next()]).toEqual([1, 3, undefined]);
  });
});

function frame(type: number, stream: number, length: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + length, 1);
  bytes.writeUInt32BE(length, 0);
  bytes[4] = type;
  bytes.writeUInt32BE(stream, 5);
  return bytes;
}
