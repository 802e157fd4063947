import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { splitMoment } from './moment.js';
import { remotePath, showPath } from './remote-path.js';
import { shellWord, typed } from './typed.js';

describe('what is printed to be typed', () => {
  it.each(['/a', '/a b', "/it's", '/$HOME `x`', '/a\\\\b', '/\\xff', '/pkg@7', '/pkg@tag:x', '/a@b', '/new\\x0aline', '/ü'])(
    '%s is one word of a shell that names the same path',
    (text) => {
      const path = remotePath(text);
      const word = execFileSync('sh', ['-c', `printf %s ${typed(showPath(path))}`]).toString();
      const { path: alone, moment } = splitMoment(word);
      expect(moment).toBeUndefined();
      expect(showPath(remotePath(alone))).toBe(showPath(path));
      const with12 = splitMoment(execFileSync('sh', ['-c', `printf %s ${typed(showPath(path), 'snap:12')}`]).toString());
      expect(with12.moment).toEqual({ kind: 'snapshot', snapshot: 12 });
      expect(showPath(remotePath(with12.path))).toBe(showPath(path));
    },
  );

  it('is left as it is where nothing has to be quoted', () => {
    expect([typed('/runs/7', 'tag:best'), shellWord('v1.0'), shellWord('a b')]).toEqual(['/runs/7@tag:best', 'v1.0', "'a b'"]);
  });
});
