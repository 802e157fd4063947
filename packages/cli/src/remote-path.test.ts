import { isNokvError } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { childPath, lastName, remotePath, showPath, versionedPath } from './remote-path.js';

const codeOf = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    if (isNokvError(error)) return error.code;
    throw error;
  }
  return 'accepted';
};

describe('a remote path', () => {
  it('is shown as it can be typed, odd bytes and all', () => {
    for (const text of ['/', '/a/b c', '/\\xff', '/a\\\\b', '/x@7']) expect(showPath(remotePath(text))).toBe(text);
    expect(showPath(remotePath('//a/./b/../c/'))).toBe('/a/c');
  });

  it('names a generation behind its last "@", and only a number', () => {
    expect(versionedPath('/a@7')).toMatchObject({ text: '/a', generation: 7 });
    expect(versionedPath('/pkg@1.2.3')).toMatchObject({ text: '/pkg@1.2.3', generation: undefined });
    expect(versionedPath('/pkg\\x407').generation).toBeUndefined();
    expect(showPath(versionedPath('/pkg\\x407').path)).toBe('/pkg@7');
    expect(versionedPath('/a@1@2')).toMatchObject({ text: '/a@1', generation: 2 });
    expect(versionedPath('/a@2/b')).toMatchObject({ text: '/a@2/b', generation: undefined });
  });

  it.each([
    ['/a@v3', 'unsupported'],
    ['/a@tag:best', 'unsupported'],
    ['/a@snap:1', 'unsupported'],
    ['/a@0', 'invalid-argument'],
    ['/a@99999999999999999999', 'invalid-argument'],
    ['a', 'invalid-path'],
    ['/..', 'invalid-path'],
    ['/\\q', 'invalid-name'],
  ])('%s is refused as %s', (text, code) => {
    expect(codeOf(() => versionedPath(text))).toBe(code);
  });

  it('has a last name, unless it is the root', () => {
    expect(lastName(remotePath('/'))).toBeUndefined();
    expect(showPath(childPath(remotePath('/a'), Uint8Array.of(0xff)))).toBe('/a/\\xff');
  });
});
