import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeHeader, padding, type TarEntry } from './tar-header.js';
import { readTar } from './tar-reader.js';

const plain: TarEntry = {
  type: 'file',
  path: Buffer.from('./report.md'),
  target: new Uint8Array(0),
  mode: 0o640,
  owner: { uid: 1000, gid: 100 },
  size: 0,
  mtime: { sec: 1_500_000_000, nsec: 0 },
  rdev: 0,
  xattrs: [],
};

async function readBack(bytes: Uint8Array, step = 1000): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  async function* steps() {
    for (let from = 0; from < bytes.length; from += step) yield bytes.subarray(from, from + step);
  }
  for await (const { entry } of readTar(steps(), () => undefined)) entries.push(entry);
  return entries;
}

const comparable = ({ path, target, xattrs, ...rest }: TarEntry) => ({
  ...rest,
  path: Buffer.from(path).toString('hex'),
  target: Buffer.from(target).toString('hex'),
  xattrs: xattrs.map(({ name, value }) => [Buffer.from(name).toString('hex'), Buffer.from(value).toString('hex')]),
});

describe('tar headers', () => {
  test('have the bytes of the standard', () => {
    const header = encodeHeader(plain);
    expect(header).toHaveLength(512);
    expect(header.toString('latin1', 0, 157)).toBe(
      `./report.md${'\0'.repeat(89)}0000640\u00000001750\u00000000144\u000000000000000\u000013132027400\u0000011236\0 0`,
    );
    expect(header.toString('latin1', 257, 265)).toBe('ustar\u000000');
    const full = encodeHeader({ ...plain, mtime: { sec: 1, nsec: 5 }, xattrs: [{ name: Buffer.from('user.a'), value: Buffer.from('b') }] });
    expect(full).toHaveLength(3 * 512);
    expect(full.toString('latin1', 512, 512 + 48)).toBe('21 mtime=1.000000005\n25 SCHILY.xattr.user.a=b\n\0\0');
    expect(createHash('sha256').update(full).digest('hex').slice(0, 16)).toBe('2133bad912f0cffa');
  });

  test('keep whatever an entry may be', async () => {
    const bytes = fc
      .uint8Array({ minLength: 1, maxLength: 300 })
      .map((name) => name.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)));
    const path = fc.oneof(
      fc
        .array(bytes, { minLength: 1, maxLength: 3 })
        .map((names) => Buffer.concat(names.flatMap((name, at) => (at === 0 ? [name] : [Buffer.from('/'), name])))),
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 120 })
        .filter((text) => !text.includes('\0') && !text.endsWith('/'))
        .map((text) => Buffer.from(text)),
    );
    const entry = fc.record({
      type: fc.constantFrom<TarEntry['type']>('link', 'symlink', 'fifo', 'char', 'file'),
      path,
      target: path,
      mode: fc.integer({ min: 0, max: 0o7777 }),
      owner: fc.record({ uid: fc.integer({ min: 0, max: 0xffff_fffe }), gid: fc.integer({ min: 0, max: 0xffff_fffe }) }),
      size: fc.constant(0),
      mtime: fc.record({ sec: fc.integer({ min: -(2 ** 33), max: 2 ** 36 }), nsec: fc.integer({ min: 0, max: 999_999_999 }) }),
      rdev: fc.constant(0),
      xattrs: fc.array(
        fc.record({
          name: bytes.map((name) => name.map((byte) => (byte === 0x3d ? 0x61 : byte))),
          value: fc.uint8Array({ maxLength: 200 }),
        }),
        { maxLength: 1 },
      ),
    });
    await fc.assert(
      fc.asyncProperty(entry, fc.integer({ min: 1, max: 1500 }), async (one, step) => {
        const [found, after] = await readBack(Buffer.concat([encodeHeader(one), encodeHeader(plain)]), step);
        expect(found && comparable(found)).toEqual(comparable(one));
        // What was said of one entry is not said of the next.
        expect(after && comparable(after)).toEqual(comparable(plain));
      }),
    );
  });

  test('that are damaged in any byte are refused or say something else, never crash', async () => {
    const whole = Buffer.concat([
      encodeHeader({ ...plain, size: 5, mtime: { sec: 1, nsec: 5 }, path: Buffer.from('p'.repeat(200)) }),
      Buffer.from('12345'),
      padding(5),
    ]);
    for (let at = 0; at < whole.length; at++) {
      const broken = Buffer.from(whole);
      broken[at] = (broken[at] ?? 0) ^ 0x15;
      const found = await readBack(broken).catch((error: unknown) => error);
      if (!Array.isArray(found)) expect(found).toMatchObject({ name: 'NokvError', kind: 'invalid' });
    }
  });

  test('of numbers in base 256 and of long names as GNU tar writes them are read', async () => {
    const gnu = (flag: string, name: string, body: string) => {
      const block = encodeHeader({ ...plain, path: Buffer.from(name), size: body.length });
      block.write(flag, 156);
      return Buffer.concat([resummed(block), Buffer.from(body), padding(body.length)]);
    };
    const wide = encodeHeader(plain);
    wide.set(Buffer.from('80000000ffffffff', 'hex'), 108);
    const bytes = Buffer.concat([gnu('L', '././@LongLink', `${'long/'.repeat(60)}name\0`), resummed(encodeHeader(plain)), resummed(wide)]);
    const [long, big] = await readBack(bytes);
    expect(Buffer.from(long?.path ?? []).toString()).toBe(`${'long/'.repeat(60)}name`);
    expect(big?.owner.uid).toBe(0xffff_ffff);
  });
});

function resummed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
