import { isNokvError } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { childPath, lastName, remotePath, showPath } from './remote-path.js';

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

  it.each([
    ['a', 'invalid-path'],
    ['/..', 'invalid-path'],
    ['/\\q', 'invalid-name'],
  ])('%s is refused as %s', (text, code) => {
    expect(codeOf(() => remotePath(text))).toBe(code);
  });

  it('has a last name, unless it is the root', () => {
    expect(lastName(remotePath('/'))).toBeUndefined();
    expect(showPath(childPath(remotePath('/a'), Uint8Array.of(0xff)))).toBe('/a/\\xff');
  });
});
