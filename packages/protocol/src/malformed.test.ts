import { isNokvError, type NokvError } from '@nokv/types';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_HEADER_BYTES } from './frame.js';
import { readClientHello } from './hello.js';
import { MessageReader } from './message-reader.js';
import { MessageWriter } from './message-writer.js';
import { readError, readRequest } from './messages.js';
import { goldenMessages } from './testing/golden-messages.js';
import { decodeBytes, encodeMessage } from './testing/message.js';

/** Builds a request payload by hand: what a wrong client might send. */
function request(code: number, args: (to: MessageWriter) => void, envelope?: (to: MessageWriter) => void): Uint8Array {
  const to = new MessageWriter();
  to.arrayHeader(envelope === undefined ? 5 : 8);
  to.int(code);
  to.int(0);
  to.string('');
  if (envelope === undefined) to.boolean(false);
  else envelope(to);
  args(to);
  return to.take();
}

const mutation = (to: MessageWriter): void => {
  to.string('r1');
  to.string('me');
  to.int(0);
  to.int(0);
};
const STAT = 1;
const LOOKUP = 2;
const LIST = 4;
const MKDIR = 32;
const XATTR_SET = 41;

const CORPUS: readonly (readonly [string, Uint8Array, string, RegExp])[] = [
  ['an unknown operation', request(63, (to) => to.mapHeader(0)), 'unknown-operation', /code 63/],
  [
    'an unknown field',
    request(STAT, (to) => {
      map(to, { node: 1, folow: true });
    }),
    'invalid-argument',
    /"folow" is unknown; expected the fields node, follow/,
  ],
  [
    'a missing field',
    request(LOOKUP, (to) => {
      map(to, { parent: 1 });
    }),
    'invalid-argument',
    /"name" is missing/,
  ],
  [
    'fields out of order',
    request(LOOKUP, (to) => {
      map(to, { name: bytes('a'), parent: 1 });
    }),
    'invalid-argument',
    /"parent" is missing or "name" comes before/,
  ],
  [
    'a field twice',
    request(STAT, (to) => {
      to.mapHeader(2);
      to.string('node');
      to.int(1);
      to.string('node');
      to.int(1);
    }),
    'invalid-argument',
    /"node" comes twice/,
  ],
  [
    'a string for a number',
    request(LIST, (to) => {
      map(to, { node: 1, limit: 'many' });
    }),
    'invalid-argument',
    /"limit": expected an integer, found a string/,
  ],
  [
    'a limit of 0',
    request(LIST, (to) => {
      map(to, { node: 1, limit: 0 });
    }),
    'invalid-argument',
    /"limit": expected an integer from 1 to 4096, found 0/,
  ],
  [
    'a negative inode',
    request(STAT, (to) => {
      map(to, { node: -1 });
    }),
    'invalid-argument',
    /"node"/,
  ],
  [
    'an unsafe integer',
    request(STAT, (to) => {
      to.mapHeader(1);
      to.string('node');
      to.rawBytes(Uint8Array.of(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1));
    }),
    'invalid-argument',
    /safe integer/,
  ],
  [
    'a long form of a small integer',
    request(STAT, (to) => {
      to.mapHeader(1);
      to.string('node');
      to.rawBytes(Uint8Array.of(0xcc, 1));
    }),
    'malformed-frame',
    /longer than it needs/,
  ],
  [
    'an empty name',
    request(LOOKUP, (to) => {
      map(to, { parent: 1, name: bytes('') });
    }),
    'invalid-name',
    /at least 1 byte/,
  ],
  [
    'a name of 256 bytes',
    request(LOOKUP, (to) => {
      map(to, { parent: 1, name: new Uint8Array(256).fill(65) });
    }),
    'name-too-long',
    /at most 255 bytes, found 256/,
  ],
  [
    'a name with a slash',
    request(LOOKUP, (to) => {
      map(to, { parent: 1, name: bytes('a/b') });
    }),
    'invalid-name',
    /a\/b/,
  ],
  [
    'the name ..',
    request(LOOKUP, (to) => {
      map(to, { parent: 1, name: bytes('..') });
    }),
    'invalid-name',
    /\.\./,
  ],
  [
    'a relative path',
    request(STAT, (to) => {
      map(to, { node: bytes('a/b') });
    }),
    'invalid-path',
    /begin it with "\/"/,
  ],
  [
    'a path of 5,000 bytes',
    request(STAT, (to) => {
      map(to, { node: new Uint8Array(5000).fill(0x2f) });
    }),
    'path-too-long',
    /found 5000/,
  ],
  [
    'a mode of 8 octal digits',
    request(
      MKDIR,
      (to) => {
        map(to, { uid: 0, gid: 0, entry: bytes('/a'), mode: 0o40755 });
      },
      mutation,
    ),
    'invalid-argument',
    /"mode": expected an integer from 0 to 4095/,
  ],
  [
    'an xattr of 64 KiB and one byte',
    request(
      XATTR_SET,
      (to) => {
        map(to, { node: 1, name: bytes('user.a'), value: new Uint8Array(65537), mode: 'set' });
      },
      mutation,
    ),
    'invalid-argument',
    /"value": expected at most 65536 bytes, found 65537/,
  ],
  [
    'a word that is none of the choices',
    request(
      XATTR_SET,
      (to) => {
        map(to, { node: 1, name: bytes('user.a'), value: bytes(''), mode: 'upsert' });
      },
      mutation,
    ),
    'invalid-argument',
    /expected one of set, create, replace, found "upsert"/,
  ],
  [
    'an empty request id',
    request(
      MKDIR,
      (to) => to.nil(),
      (to) => {
        to.string('');
        to.string('me');
        to.int(0);
        to.int(0);
      },
    ),
    'invalid-argument',
    /"request id"/,
  ],
  ["a mutation in a read's envelope", request(MKDIR, (to) => to.nil()), 'invalid-argument', /expected 8 parts of a request, found 5/],
  [
    'a body above the inline limit',
    request(
      46,
      (to) => {
        to.mapHeader(5);
        to.string('uid');
        to.int(0);
        to.string('gid');
        to.int(0);
        to.string('node');
        to.int(1);
        to.string('body');
        to.arrayHeader(2);
        to.string('inline');
        to.mapHeader(1);
        to.string('bytes');
        to.binary(new Uint8Array(16385));
        to.string('mode');
        to.int(0);
      },
      mutation,
    ),
    'invalid-argument',
    /"bytes": expected at most 16384 bytes, found 16385/,
  ],
  ['a list that claims 4 billion entries', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff), 'malformed-frame', /cut short/],
  [
    'broken UTF-8',
    request(STAT, (to) => {
      to.mapHeader(1);
      to.rawBytes(Uint8Array.of(0xa2, 0xc3, 0x28));
      to.nil();
    }),
    'malformed-frame',
    /UTF-8/,
  ],
  [
    'bytes after the end',
    Buffer.concat([
      request(STAT, (to) => {
        map(to, { node: 1 });
      }),
      Uint8Array.of(0),
    ]),
    'malformed-frame',
    /1 bytes are left over/,
  ],
  ['nothing', new Uint8Array(0), 'malformed-frame', /cut short/],
];

describe('malformed requests', () => {
  it.each(CORPUS)('%s is refused by name', (_name, payload, code, message) => {
    const error = failureOf(() => readRequest(new MessageReader(payload)));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.outcome).toBe('not-applied');
  });
});

describe('any other bytes', () => {
  const readers = [
    (bytes: Uint8Array) => readRequest(new MessageReader(bytes)),
    (bytes: Uint8Array) => readError(new MessageReader(bytes)),
    (bytes: Uint8Array) => readClientHello(bytes),
  ];

  it('are read or refused with a typed error, never with another', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const read of readers) mustBeTyped(() => read(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it('that differ from a golden vector in a few places are read or refused with a typed error', () => {
    const vectors = goldenMessages().map(({ message }) => ({ message, bytes: encodeMessage(message) }));
    const small = vectors.filter(({ bytes }) => bytes.length < 2000);
    fc.assert(
      fc.property(
        fc.constantFrom(...small),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(3),
        ({ message, bytes }, edits, cut) => {
          const changed = bytes.slice();
          for (const [at, byte] of edits) changed[FRAME_HEADER_BYTES + (at % Math.max(1, bytes.length - FRAME_HEADER_BYTES))] = byte;
          const length = Math.max(0, changed.length - FRAME_HEADER_BYTES - cut);
          new DataView(changed.buffer).setUint32(0, length);
          mustBeTyped(() =>
            decodeBytes(changed.subarray(0, FRAME_HEADER_BYTES + length), 'operation' in message ? message.operation : undefined),
          );
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('what is read is written back as the same bytes: one value, one encoding', () => {
    fc.assert(
      fc.property(fc.constantFrom(...goldenMessages()), fc.nat(), fc.nat(255), ({ message }, at, byte) => {
        const changed = encodeMessage(message);
        if (changed.length > 2000 || message.frame === 'hello' || message.frame === 'helloAck') return;
        changed[FRAME_HEADER_BYTES + (at % Math.max(1, changed.length - FRAME_HEADER_BYTES))] = byte;
        let read;
        try {
          read = decodeBytes(changed.subarray(0), 'operation' in message ? message.operation : undefined);
        } catch {
          return;
        }
        if (read.frame === 'error' || read.frame === 'goaway' || read.frame === 'ping' || read.frame === 'pong') return;
        // Lists answer with errors too, which keep no codes and fields that this build does not know.
        if (read.frame === 'response' && ['stat-many', 'read-many', 'batch'].includes(read.operation)) return;
        expect(Buffer.from(encodeMessage(read)).toString('hex')).toBe(Buffer.from(changed).toString('hex'));
      }),
      { numRuns: 5000 },
    );
  });
});

function mustBeTyped(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!isNokvError(error) || error.kind !== 'invalid') throw error;
  }
}

function failureOf(read: () => unknown): NokvError {
  try {
    read();
  } catch (error) {
    if (isNokvError(error)) return error;
    throw error;
  }
  throw new Error('it was read');
}

function map(to: MessageWriter, fields: Readonly<Record<string, number | boolean | string | Uint8Array>>): void {
  to.mapHeader(Object.keys(fields).length);
  for (const [name, value] of Object.entries(fields)) {
    to.string(name);
    if (typeof value === 'number') to.int(value);
    else if (typeof value === 'boolean') to.boolean(value);
    else if (typeof value === 'string') to.string(value);
    else to.binary(value);
  }
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text));
}
