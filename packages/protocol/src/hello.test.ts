import type { Version } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { FRAME_HEADER_BYTES } from './frame.js';
import { clientHello, readClientHello, readServerHello, writeClientHello, writeServerHello, type VersionRange } from './hello.js';
import { MessageWriter } from './message-writer.js';

const hello = (versions: VersionRange): Uint8Array => {
  const to = new MessageWriter();
  writeClientHello(to, { ...clientHello('test'), versions });
  return Uint8Array.from(to.take().subarray(FRAME_HEADER_BYTES));
};

describe('hello', () => {
  it('refuses an old client in words that it can show', () => {
    expect(() => readClientHello(hello({ min: 1, max: 1 }), { min: 2, max: 3 })).toThrow(
      'this server speaks 2 to 3, this client 1: upgrade the client',
    );
  });

  it('refuses a newer client in words that it can show', () => {
    expect(() => readClientHello(hello({ min: 4, max: 5 }), { min: 2, max: 3 })).toThrow(
      'this server speaks 2 to 3, this client 4 to 5: upgrade the server or use an older client',
    );
  });

  it('reads no more than the range of a client that speaks another version', () => {
    const cut = hello({ min: 7, max: 9 }).slice(0, 8);
    expect(() => readClientHello(cut)).toThrow('this server speaks 4, this client 7 to 9');
  });

  it('chooses the highest version of both', () => {
    expect(readClientHello(hello({ min: 1, max: 9 }), { min: 1, max: 3 }).version).toBe(3);
    expect(readClientHello(hello({ min: 1, max: 2 }), { min: 1, max: 3 }).version).toBe(2);
  });

  it('steps over fields that a later version appended', () => {
    const known = hello({ min: 4, max: 4 });
    const to = new MessageWriter();
    to.rawBytes(known.subarray(0, 8));
    to.mapHeader(5);
    to.rawBytes(known.subarray(9));
    to.string('later');
    to.mapHeader(1);
    to.string('deep');
    to.arrayHeader(1);
    to.nil();
    expect(known[8]).toBe(0x83);
    const longer = Uint8Array.from(to.take());
    longer[8] = 0x84;
    expect(readClientHello(longer).hello.client).toBe('test');
  });

  it('says what came when it is no hello at all', () => {
    expect(() => readClientHello(Buffer.from('GET / HTTP/1.1\r\n'))).toThrow(/expected a nokv hello/);
  });

  it('refuses a version that was not offered', () => {
    const to = new MessageWriter();
    writeServerHello(to, {
      version: 5,
      features: [],
      server: 's',
      frameBytesMax: 1 << 20,
      inFlightMax: 1,
      streamsMax: 1,
      shardMapRevision: 0,
      incarnation: { id: 'i', opened: 1 as Version },
    });
    expect(() => readServerHello(Uint8Array.from(to.take().subarray(FRAME_HEADER_BYTES)))).toThrow(
      'this client offered 4 and the server chose 5',
    );
  });
});
