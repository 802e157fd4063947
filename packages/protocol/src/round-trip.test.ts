import { CHANGE_KINDS, DIFF_ATTRIBUTES, DIFF_KINDS, INODE_TYPES, NokvError, PIN_KINDS } from '@nokv/types';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MessageReader } from './message-reader.js';
import { MessageWriter } from './message-writer.js';
import { FRAME_HEADER_BYTES, FRAME_TYPES } from './frame.js';
import { readError, writeError } from './messages.js';
import type { Schema } from './schema.js';
import { at, diffItem, pinInfo, pinRef } from './schemas/history-values.js';
import { DEFINITIONS } from './schemas/operations.js';
import { attributes, body, changeRecord, entryRef, nodeCard, nodeRef } from './schemas/values.js';

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength, size: 'max' });
const name = bytes(1, 255).filter((value) => !value.includes(0) && !value.includes(0x2f) && !/^\.\.?$/.test(Buffer.from(value).toString()));
const path = bytes(0, 4095).map((rest) => Uint8Array.of(0x2f, ...rest));
const whole = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);
const inode = fc.integer({ min: 1, max: 4096 * 2 ** 41 - 1 });
const sec = fc.oneof(
  fc.constantFrom(-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER),
  fc.maxSafeInteger(),
);
const time = fc.record({ sec, nsec: fc.nat(999_999_999) });
const u32 = fc.nat(0xfffffffe);
const type = fc.constantFrom(...INODE_TYPES);
const hex = fc.stringMatching(/^[0-9a-f]{32}$/);
const label = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => Buffer.byteLength(text) <= 256);

const attributesValue = fc.record({
  ino: inode,
  type,
  mode: fc.nat(0o7777),
  uid: u32,
  gid: u32,
  nlink: u32,
  size: whole,
  blocks: whole,
  atime: time,
  mtime: time,
  ctime: time,
  rdev: whole,
  revision: whole,
  generation: whole,
  ordinal: whole,
  children: whole,
});
const place = fc.record({ parent: inode, name });
const entry = fc.oneof(fc.record({ path }), place);
const node = fc.oneof(fc.record({ ino: inode }), entry);
const extent = fc.oneof(
  fc.record({ hole: fc.constant(true as const), take: whole }),
  fc.record({ upload: hex, index: whole, offset: whole, length: whole, crc32c: u32, skip: whole, take: whole }),
  fc.tuple(hex, u32, fc.integer({ min: 2, max: 64 })).map(([upload, crc32c, count]) => {
    const length = count * 65_536;
    const chunks = { bytes: 65_536, running: new Uint8Array(4 * (count - 1)).fill(crc32c) };
    return { upload, index: 0, offset: 0, length, crc32c, skip: 1, take: length - 1, chunks };
  }),
);
const bodyValue = fc.oneof(
  fc.record({ kind: fc.constant('inline' as const), bytes: bytes(0, 16_384) }),
  fc.record({ kind: fc.constant('blocks' as const), manifest: fc.record({ size: whole, extents: fc.array(extent, { maxLength: 40 }) }) }),
);
const change = fc.record(
  {
    version: whole,
    ordinal: whole,
    kind: fc.constantFrom(...CHANGE_KINDS),
    ino: inode,
    type,
    parent: inode,
    name: bytes(1, 255),
    fromParent: inode,
    fromName: bytes(1, 255),
    generation: whole,
    requestId: fc.string({ unit: 'grapheme-ascii', maxLength: 64 }),
    actor: label,
    time,
  },
  { requiredKeys: ['version', 'ordinal', 'kind', 'ino', 'type', 'requestId', 'actor', 'time'] },
);
const card = fc
  .tuple(
    attributesValue,
    fc.record(
      {
        digest: label,
        contentType: label,
        producer: label,
        inline: fc.boolean(),
        target: bytes(1, 4095),
        xattrs: fc.array(bytes(1, 255), { maxLength: 20 }),
      },
      { requiredKeys: ['inline', 'xattrs'] },
    ),
  )
  .map(([first, second]) => ({ ...first, ...second }));
const setattr = fc.record(
  {
    node,
    follow: fc.boolean(),
    mode: fc.nat(0o7777),
    uid: u32,
    gid: u32,
    atime: fc.oneof(time, fc.constant('now' as const)),
    mtime: time,
    size: whole,
  },
  { requiredKeys: ['node'] },
);
const list = fc.record({
  directory: inode,
  more: fc.boolean(),
  entries: fc.array(
    fc.record({ name: bytes(1, 255), ino: inode, type, attributes: attributesValue }, { requiredKeys: ['name', 'ino', 'type'] }),
    { maxLength: 30 },
  ),
});

const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const pinName = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => Buffer.byteLength(text) <= 255);
const moment = fc.oneof(
  fc.record({ snapshot: id }),
  fc.record({ tag: pinName }),
  fc.record({ version: whole }),
  fc.record({ time: fc.record({ sec, nsec: fc.nat(999_999_999) }) }),
);
const pinValue = fc.record(
  {
    id,
    kind: fc.constantFrom(...PIN_KINDS),
    root: inode,
    path: bytes(0, 300),
    version: whole,
    createdAt: time,
    expiresAt: time,
    name: pinName,
    labels: fc.array(fc.record({ key: pinName, value: pinName }), { maxLength: 32 }),
    actor: label,
  },
  { requiredKeys: ['id', 'kind', 'root', 'path', 'version', 'createdAt', 'labels', 'actor'] },
);
const diffNode = fc.record(
  { ino: inode, type, size: whole, mode: fc.nat(0o7777), generation: whole, digest: label },
  { requiredKeys: ['ino', 'type', 'size', 'mode', 'generation'] },
);
const differences = fc.record({
  rows: fc.array(
    fc.record(
      {
        kind: fc.constantFrom(...DIFF_KINDS),
        path: bytes(0, 300),
        fromPath: bytes(0, 300),
        a: diffNode,
        b: diffNode,
        attributes: fc.subarray([...DIFF_ATTRIBUTES]),
      },
      { requiredKeys: ['kind', 'path', 'attributes'] },
    ),
    { maxLength: 20 },
  ),
  versions: fc.record({ a: whole, b: whole }),
});

it.each([
  row('attributes', attributes, attributesValue),
  row('node references', nodeRef, node),
  row('entry references', entryRef, entry),
  row('bodies', body, bodyValue),
  row('changes', changeRecord, change),
  row('cards', nodeCard, card),
  row('arguments of setattr', DEFINITIONS.setattr.args, setattr),
  row('answers of list', DEFINITIONS.list.answer, list),
  row('moments', at, moment),
  row('snapshots and tags', pinInfo, pinValue),
  row('differences', diffItem, differences),
])('%s come back as they were written', (_name, schema, values) => {
  const writer = new MessageWriter();
  fc.assert(
    fc.property(values, (value) => {
      schema.write(writer, value);
      const reader = new MessageReader(writer.take());
      expect(schema.read(reader)).toEqual(value);
      reader.finish();
    }),
    { numRuns: 300 },
  );
});

it('a pin is named by its id or its tag, not by a version or a time', () => {
  const writer = new MessageWriter();
  for (const [pin, isTaken] of [
    [{ snapshot: 7 }, true],
    [{ tag: 'best' }, true],
    [{ version: 7 }, false],
    [{ time: { sec: 1, nsec: 0 } }, false],
  ] as const) {
    at.write(writer, pin as Parameters<typeof at.write>[1]);
    const reader = new MessageReader(writer.take());
    if (isTaken) expect(pinRef.read(reader)).toEqual(pin);
    else expect(() => pinRef.read(reader)).toThrow('expected a snapshot or a tag');
  }
});

it('errors come back as they were written, cut to what fits', () => {
  const details = fc.dictionary(
    fc.string({ unit: 'binary', maxLength: 20 }).filter(isWellFormed),
    fc.oneof(label, fc.double(), fc.boolean(), fc.constant(null), fc.maxSafeInteger()),
  );
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 100 }),
      fc.constantFrom('unknown' as const, 'not-applied' as const),
      details,
      (message, outcome, facts) => {
        const writer = new MessageWriter();
        writeError(writer, FRAME_TYPES.error, 1, new NokvError('corrupt', message, { outcome, details: facts }));
        const read = readError(new MessageReader(writer.take().subarray(FRAME_HEADER_BYTES)));
        expect([read.code, read.message, read.outcome]).toEqual(['corrupt', message, outcome]);
        expect(Object.entries(read.details)).toEqual(Object.entries(facts));
      },
    ),
    { numRuns: 300 },
  );
  const writer = new MessageWriter();
  writeError(writer, FRAME_TYPES.error, 1, new NokvError('internal', 'é'.repeat(100_000), { details: { big: 'x'.repeat(100_000) } }));
  const read = readError(new MessageReader(writer.take().subarray(FRAME_HEADER_BYTES)));
  expect(Buffer.byteLength(read.message)).toBeLessThanOrEqual(16_384);
  expect(read.message).toMatch(/^é+…$/);
  expect(read.details).toEqual({ detailsLeftOut: true });
});

function isWellFormed(text: string): boolean {
  return Buffer.from(text).toString() === text;
}

/** Ids are branded in a schema and plain in an arbitrary. */
function row<T>(name: string, schema: Schema<T>, values: fc.Arbitrary<unknown>): [string, Schema<unknown>, fc.Arbitrary<unknown>] {
  return [name, schema as unknown as Schema<unknown>, values];
}
