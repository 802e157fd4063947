import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkName, formatName, joinPath, parseName, parsePath, splitPath } from './names.js';

const utf8 = (text: string) => new TextEncoder().encode(text);

describe('names', () => {
  test('any byte but "/" and NUL is legal, "." and ".." are not', () => {
    for (let byte = 1; byte < 256; byte++) {
      const check = () => checkName(Uint8Array.of(byte));
      if (byte === 0x2f || byte === 0x2e) expect(check).toThrow();
      else expect(check).not.toThrow();
    }
    expect(() => checkName(utf8('..'))).toThrow(expect.objectContaining({ code: 'invalid-name' }));
    expect(() => checkName(utf8('...'))).not.toThrow();
    expect(() => checkName(new Uint8Array())).toThrow(expect.objectContaining({ code: 'invalid-name' }));
  });

  test('255 bytes fit, 256 are refused by their own code', () => {
    expect(() => checkName(utf8('x'.repeat(255)))).not.toThrow();
    expect(() => checkName(utf8('x'.repeat(256)))).toThrow(expect.objectContaining({ code: 'name-too-long' }));
  });

  test('text form of any bytes reads back to the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(parseName(formatName(bytes))).toEqual(bytes);
      }),
    );
  });

  test('what is valid UTF-8 stays readable, other bytes are escaped', () => {
    expect(formatName(utf8('Größe 数'))).toBe('Größe 数');
    expect(formatName(Uint8Array.of(0xff, 0x61, 0xc3))).toBe('\\xffa\\xc3');
    expect(formatName(utf8('a\\b'))).toBe('a\\\\b');
    expect(() => parseName('a\\q')).toThrow(expect.objectContaining({ code: 'invalid-name' }));
  });
});

describe('paths', () => {
  const normal = (text: string) => formatName(parsePath(text));

  test('slashes and dots resolve lexically', () => {
    expect(normal('/')).toBe('/');
    expect(normal('//a///b/./c/../d/')).toBe('/a/b/d');
    expect(normal('/a/..')).toBe('/');
  });

  test('a ".." beyond the root is refused', () => {
    for (const path of ['/..', '/a/../..', '/../a']) {
      expect(() => parsePath(path)).toThrow(expect.objectContaining({ code: 'invalid-path' }));
    }
  });

  test('a relative or an empty path is refused', () => {
    for (const path of ['', 'a', './a', '..']) {
      expect(() => parsePath(path)).toThrow(expect.objectContaining({ code: 'invalid-path' }));
    }
  });

  test('4,096 bytes fit, more are refused', () => {
    const path = '/'.concat('abcdefg/'.repeat(511), 'abcdefg');
    expect(path.length).toBe(4096);
    expect(splitPath(utf8(path))).toHaveLength(512);
    expect(() => splitPath(utf8(`${path}x`))).toThrow(expect.objectContaining({ code: 'path-too-long' }));
  });

  test('joining what was split gives the path in normal form', () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 12 }).filter((bytes) => {
      try {
        checkName(bytes);
        return true;
      } catch {
        return false;
      }
    });
    fc.assert(
      fc.property(fc.array(name, { maxLength: 8 }), (names) => {
        expect(splitPath(joinPath(names))).toEqual(names);
      }),
    );
  });
});
