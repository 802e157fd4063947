/** Exact bytes of the kernel protocol (linux/fuse.h), and requests that are none. */
import { expect, test } from 'vitest';
import type { Attributes, Generation, InodeNumber } from '@nokv/types';
import { systemClock } from '@nokv/types';
import { MountContext } from '../core/mount-context.js';
import { NamespaceFileSystem } from '../core/namespace-file-system.js';
import { NodeTable } from '../core/node-table.js';
import { SystemError } from '../session/errno.js';
import { MemoryNamespace } from '../testing/memory-namespace.js';
import { answerRequest } from './answer-request.js';
import { negotiate } from './negotiate.js';
import { invalidateEntryMessage, invalidateInodeMessage } from './notification.js';
import { InitFlag, Opcode } from './protocol.js';
import { ReplyWriter } from './reply-writer.js';
import { RequestReader } from './request-reader.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const attributes: Attributes = {
  ino: 0x1_2345_6789 as InodeNumber,
  type: 'file',
  mode: 0o644,
  uid: 1000,
  gid: 1001,
  nlink: 2,
  size: 0x2_0000_0001,
  blocks: 8,
  atime: { sec: -1, nsec: 999_999_999 },
  mtime: { sec: 1, nsec: 2 },
  ctime: { sec: 3, nsec: 4 },
  rdev: 0x801,
  revision: 1,
  generation: 1 as Generation,
  ordinal: 1,
  children: 0,
};
const ATTRIBUTES_HEX =
  '8967452301000000' + // ino
  '0100000002000000' + // size
  '0800000000000000' + // blocks
  'ffffffffffffffff' + // atime
  '0100000000000000' + // mtime
  '0300000000000000' + // ctime
  'ffc99a3b0200000004000000' + // nanoseconds
  'a4810000' + // mode
  '02000000e8030000e9030000' + // nlink, uid, gid
  '010800000000020000000000'; // rdev, blksize, flags

function request(opcode: number, node: number, body: Uint8Array): { reader: RequestReader; bytes: number } {
  const buffer = new Uint8Array(1 << 16);
  const view = new DataView(buffer.buffer);
  view.setUint32(0, 40 + body.length, true);
  view.setUint32(4, opcode, true);
  view.setBigUint64(8, 0x1_0000_0002n, true);
  view.setBigUint64(16, BigInt(node), true);
  view.setUint32(24, 1000, true);
  view.setUint32(28, 1001, true);
  view.setUint32(32, 42, true);
  buffer.set(body, 40);
  return { reader: new RequestReader(buffer), bytes: 40 + body.length };
}

test('a request header is read whole', () => {
  const { reader, bytes } = request(Opcode.LOOKUP, 0x1_2345_6789, Buffer.from('name\0'));
  expect(reader.begin(bytes)).toBe(true);
  expect(reader).toMatchObject({ opcode: 1, unique: 0x1_0000_0002, node: 0x1_2345_6789, uid: 1000, gid: 1001, pid: 42 });
  expect(Buffer.from(reader.name()).toString()).toBe('name');
});

test('an entry, attributes, statistics and directory entries have the kernel’s layout', () => {
  const writer = new ReplyWriter(4096);
  writer.begin(0x1_0000_0002);
  writer.entry({ node: 5, attributes, timeoutMs: 1500 });
  expect(hex(writer.finish())).toBe(
    '90000000' +
      '00000000' +
      '0200000001000000' + // header: 144 bytes
      '0500000000000000' +
      '0000000000000000' +
      '0100000000000000' +
      '0100000000000000' +
      '0065cd1d' +
      '0065cd1d' +
      ATTRIBUTES_HEX,
  );
  writer.begin(1);
  writer.attributesReply({ attributes, timeoutMs: 0 });
  expect(hex(writer.finish())).toBe(
    '78000000' + '00000000' + '0100000000000000' + '0000000000000000' + '00000000' + '00000000' + ATTRIBUTES_HEX,
  );
  writer.begin(1);
  writer.statistics({ blockBytes: 4096, blocks: 10, blocksFree: 4, inodes: 7, inodesFree: 6 });
  expect(hex(writer.finish().subarray(16))).toBe(
    '0a00000000000000' +
      '0400000000000000' +
      '0400000000000000' +
      '0700000000000000' +
      '0600000000000000' +
      '00100000' +
      'ff000000' +
      '00100000' +
      '00'.repeat(28),
  );
  writer.begin(1);
  expect(writer.directoryEntry(Buffer.from('abc'), 9, 0o100000, 3, 32)).toBe(true);
  expect(writer.directoryEntry(Buffer.from('d'), 9, 0o040000, 4, 63)).toBe(false);
  expect(hex(writer.finish().subarray(16))).toBe('0900000000000000' + '0300000000000000' + '03000000' + '08000000' + '6162630000000000');
});

test('an error carries its number negated', () => {
  const writer = new ReplyWriter(64);
  writer.begin(7);
  expect(hex(writer.finish(2))).toBe('10000000' + 'feffffff' + '0700000000000000');
});

test('notifications have the kernel’s layout', () => {
  expect(hex(invalidateInodeMessage(5, true))).toBe(
    '28000000' + '02000000' + '0000000000000000' + '0500000000000000' + '0000000000000000' + '0000000000000000',
  );
  expect(hex(invalidateInodeMessage(5, false))).toBe(
    '28000000' + '02000000' + '0000000000000000' + '0500000000000000' + 'ffffffffffffffff' + '0000000000000000',
  );
  expect(hex(invalidateEntryMessage(1, Buffer.from('ab')))).toBe(
    '23000000' + '03000000' + '0000000000000000' + '0100000000000000' + '02000000' + '00000000' + '616200',
  );
});

function init(major: number, minor: number, flags: number): { agreed: boolean; reply: Buffer } {
  const body = Buffer.alloc(64);
  body.writeUInt32LE(major, 0);
  body.writeUInt32LE(minor, 4);
  body.writeUInt32LE(128 * 1024, 8);
  body.writeUInt32LE(flags >>> 0, 12);
  const { reader, bytes } = request(Opcode.INIT, 0, body);
  reader.begin(bytes);
  const writer = new ReplyWriter(256);
  writer.begin(1);
  const agreed = negotiate(reader, writer);
  return { agreed, reply: Buffer.from(writer.finish()) };
}

test('the handshake agrees on the older minor and on wanted features alone', () => {
  const { agreed, reply } = init(7, 45, 0x7fff_ffff);
  expect(agreed).toBe(true);
  expect(reply.length).toBe(80);
  expect([reply.readUInt32LE(16), reply.readUInt32LE(20)]).toEqual([7, 38]);
  const flags = reply.readUInt32LE(28);
  expect(flags & InitFlag.BIG_WRITES).not.toBe(0);
  expect(flags & (1 << 16), 'writeback cache').toBe(0);
  expect(reply.readUInt32LE(36)).toBe(1024 * 1024);
});

test('a kernel of another major is answered with ours; one that is too old is refused', () => {
  expect(init(8, 0, 0).agreed).toBe(false);
  expect(() => init(7, 30, 0x7fff_ffff)).toThrow(SystemError);
  expect(() => init(7, 31, 0)).toThrow(SystemError);
});

test('every opcode with every length of garbage is answered or refused, never thrown through', async () => {
  const namespace = new MemoryNamespace();
  const metadata = namespace.client('a');
  const random = { bytes: (length: number) => new Uint8Array(length), float: () => 0.5 };
  const context = new MountContext({ metadata, bodies: namespace, clock: systemClock, random, callTimeoutMs: 1000, log: () => undefined });
  const table = new NodeTable(await metadata.read('getattr', { ino: 1 as InodeNumber }));
  const fileSystem = new NamespaceFileSystem(context, table, { readOnly: false, cacheTimeoutMs: 1000 });
  for (let opcode = 0; opcode <= 60; opcode++) {
    for (const length of [0, 1, 4, 8, 16, 17, 24, 40, 56, 64, 88, 200]) {
      for (const fill of [0x00, 0x41, 0xff]) {
        const { reader, bytes } = request(opcode, 1, new Uint8Array(length).fill(fill));
        expect(reader.begin(bytes)).toBe(true);
        try {
          await answerRequest(fileSystem, reader);
        } catch (error) {
          expect(['SystemError', 'NokvError'], `opcode ${opcode}, ${length} bytes of ${fill}: ${String(error)}`).toContain(
            (error as Error).name,
          );
        }
      }
    }
  }
});

test('bytes that are no request are told from one', () => {
  const { reader } = request(Opcode.GETATTR, 1, new Uint8Array(16));
  expect(reader.begin(39)).toBe(false);
  expect(reader.begin(55)).toBe(false);
  expect(reader.begin(56)).toBe(true);
});
