import { readFileSync } from 'node:fs';
import { Unpackr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { protocolDigest } from './digest.js';
import { FRAME_HEADER_BYTES, FRAME_TYPES, FrameDecoder } from './frame.js';
import { PROTOCOL_VERSIONS } from './hello.js';
import { DEFINITIONS } from './schemas/operations.js';
import { goldenMessages } from './testing/golden-messages.js';
import { decodeBytes, decodeMessage, encodeMessage, type Message } from './testing/message.js';
import { fromVectorJson, toVectorJson } from './testing/vector-json.js';

interface Vector {
  readonly name: string;
  readonly message: unknown;
  readonly hex: string;
}

const file = JSON.parse(readFileSync(new URL('../vectors/messages.json', import.meta.url), 'utf8')) as {
  readonly protocol: number;
  readonly digest: string;
  readonly vectors: readonly Vector[];
};
const vectors = file.vectors.map(({ name, message, hex }) => ({
  name,
  message: fromVectorJson(message) as Message,
  bytes: Uint8Array.from(Buffer.from(hex, 'hex')),
}));
const operationOf = (message: Message) => ('operation' in message ? message.operation : undefined);

describe('golden vectors', () => {
  it('are those of this version of the protocol: a changed schema needs a new version and new vectors', () => {
    expect({ protocol: file.protocol, digest: file.digest }).toEqual({ protocol: PROTOCOL_VERSIONS.max, digest: protocolDigest() });
  });

  it('cover every message', () => {
    expect(vectors.map((vector) => vector.name)).toEqual(goldenMessages().map((golden) => golden.name));
    for (const { operation, kind } of Object.values(DEFINITIONS)) {
      const frames = vectors.filter(({ message }) => operationOf(message) === operation).map(({ message }) => message.frame);
      expect(frames, operation).toContain('request');
      expect(frames, operation).toContain(kind === 'stream' ? 'item' : 'response');
    }
    expect(new Set(vectors.map(({ message }) => message.frame))).toEqual(new Set(Object.keys(FRAME_TYPES)));
  });

  it.each(vectors)('$name: the value gives these bytes', ({ message, bytes }) => {
    expect(Buffer.from(encodeMessage(message)).toString('hex')).toBe(Buffer.from(bytes).toString('hex'));
  });

  it.each(vectors)('$name: the bytes give this value', ({ message, bytes }) => {
    expect(toVectorJson(decodeBytes(bytes, operationOf(message)))).toEqual(toVectorJson(message));
  });

  it.each(vectors.filter(({ message }) => ['request', 'response', 'item', 'error', 'goaway'].includes(message.frame)))(
    '$name: another MessagePack library reads it',
    ({ bytes }) => {
      const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number', mapsAsObjects: true });
      expect(() => unpackr.unpack(Buffer.from(bytes.subarray(FRAME_HEADER_BYTES)))).not.toThrow();
    },
  );
});

describe('the decoder', () => {
  const small = vectors.filter(({ bytes }) => bytes.length < 2000);

  it('gives the same at every split point', () => {
    for (const { name, message, bytes } of small) {
      for (let split = 0; split <= bytes.length; split++) {
        const decoder = new FrameDecoder(1 << 22);
        decoder.push(bytes.subarray(0, split));
        let frame = decoder.next();
        expect(frame === undefined, `${name} at ${split}`).toBe(split < bytes.length);
        decoder.push(bytes.subarray(split));
        frame ??= decoder.next();
        if (frame === undefined) throw new Error(`${name} cut at ${split} is lost`);
        expect(toVectorJson(decodeMessage(frame, operationOf(message)))).toEqual(toVectorJson(message));
        expect(decoder.next()).toBeUndefined();
      }
    }
  });

  it('reads all vectors in one stream, in chunks of any size', () => {
    const stream = Buffer.concat(vectors.map(({ bytes }) => bytes));
    for (const size of [1, 2, 3, 7, 9, 10, 64, 1000, 65_536, stream.length]) {
      const decoder = new FrameDecoder(1 << 22);
      let at = 0;
      for (let from = 0; from < stream.length; from += size) {
        const chunk = Uint8Array.from(stream.subarray(from, from + size));
        decoder.push(chunk);
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          const expected = vectors[at++]?.message as Message;
          expect(toVectorJson(decodeMessage(frame, operationOf(expected)))).toEqual(toVectorJson(expected));
        }
        // What was lent may change now.
        chunk.fill(0);
      }
      expect(at).toBe(vectors.length);
    }
  });

  it('gives byte strings that outlive the frame', () => {
    const { bytes } = vectors.find(({ name }) => name === 'request lookup 0') as { bytes: Uint8Array };
    const lent = bytes.slice();
    const message = decodeBytes(lent);
    lent.fill(0);
    expect(message).toMatchObject({ args: { parent: 1, name: Uint8Array.of(0x61) } });
  });
});
