import { describe, expect, it } from 'vitest';
import { modeLetters } from './entry-json.js';
import { columns } from './output.js';

describe('a long listing', () => {
  it.each([
    ['file', 0o644, '-rw-r--r--'],
    ['directory', 0o1777, 'drwxrwxrwt'],
    ['directory', 0o1770, 'drwxrwx--T'],
    ['file', 0o4755, '-rwsr-xr-x'],
    ['file', 0o6640, '-rwSr-S---'],
    ['symlink', 0o777, 'lrwxrwxrwx'],
    ['fifo', 0, 'p---------'],
  ] as const)('writes a %s of mode %o as ls(1) does', (type, mode, letters) => {
    expect(modeLetters({ type, mode })).toBe(letters);
  });

  it('lines up its columns, numbers to the right', () => {
    expect(
      columns(
        [
          ['a', '5', 'x'],
          ['long', '1234', 'yy'],
        ],
        [1],
      ),
    ).toEqual(['a        5  x', 'long  1234  yy']);
    expect(columns([])).toEqual([]);
  });
});
