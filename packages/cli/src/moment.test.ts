import { isNokvError } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { formatMoment, parseMoment, parseSnapshotId, splitMoment } from './moment.js';

const codeOf = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    if (isNokvError(error)) return error.code;
    throw error;
  }
  return 'accepted';
};

describe('a moment behind a path', () => {
  it.each([
    ['/a@7', '/a', { kind: 'generation', generation: 7 }],
    ['/a@v3', '/a', { kind: 'ordinal', ordinal: 3 }],
    ['/a@tag:best one', '/a', { kind: 'tag', tag: 'best one' }],
    ['/a@snap:12', '/a', { kind: 'snapshot', snapshot: 12 }],
    ['/a@version:0', '/a', { kind: 'version', version: 0 }],
    ['/a@1@2', '/a@1', { kind: 'generation', generation: 2 }],
    ['/dir/@7', '/dir/', { kind: 'generation', generation: 7 }],
  ])('%s is read', (text, path, moment) => {
    expect(splitMoment(text)).toEqual({ path, moment });
  });

  it.each(['/pkg@1.2.3', '/a@2/b', '/pkg\\x407', '/a@', '/a@tag:x/y', '/a@vx', '/a@2026-01-31T12:00:00Z', '/@scope/name'])(
    '%s is a path alone',
    (text) => {
      expect(splitMoment(text)).toEqual({ path: text, moment: undefined });
    },
  );

  it.each(['/a@0', '/a@99999999999999999999', '/a@v0', '/a@snap:0', '/a@snap:x', '/a@snap:', '/a@version:x', '/a@version:-1'])(
    '%s is refused, with how to write the name instead',
    (text) => {
      expect(codeOf(() => splitMoment(text))).toBe('invalid-argument');
      expect(() => splitMoment(text)).toThrow('write it \\x40');
    },
  );
});

describe('a moment of a command', () => {
  it.each(['42', 'v3', 'tag:best', 'snap:12', 'version:40', '2026-01-31T12:00:00.123456789Z'])('%s is shown as it is typed', (text) => {
    expect(formatMoment(parseMoment(text))).toBe(text);
  });

  it.each([
    ['2026-01-31T12:00:00+02:00', 1_769_853_600, 0],
    ['2026-01-31t12:00:00.5z', 1_769_860_800, 500_000_000],
    ['1969-12-31T23:59:59.25Z', -1, 250_000_000],
  ])('%s is a time', (text, sec, nsec) => {
    expect(parseMoment(text)).toEqual({ kind: 'time', time: { sec, nsec } });
  });

  it.each(['', 'now', 'v', 'tag:', '-1', '2026-02-30T00:00:00Z', '2026-01-31T25:00:00Z', '2026-01-31', 'snap:1.5'])(
    '"%s" is none',
    (text) => {
      expect(codeOf(() => parseMoment(text))).toBe('invalid-argument');
    },
  );

  it('takes a snapshot id with or without its prefix', () => {
    expect([parseSnapshotId('12'), parseSnapshotId('snap:12')]).toEqual([12, 12]);
    expect(codeOf(() => parseSnapshotId('before'))).toBe('invalid-argument');
  });
});
