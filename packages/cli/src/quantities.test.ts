import { describe, expect, it } from 'vitest';
import {
  formatClock,
  formatDuration,
  formatSize,
  parseLabel,
  parseDuration,
  parseInteger,
  parseModeChange,
  parseOwner,
  parseRange,
  parseSize,
} from './quantities.js';

describe('quantities', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['1.5s', 1500],
  ])('reads the duration %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '30', 's', '-1s', '1w', '1s ', '1e3s', '99999999999999999d'])('refuses the duration %j', (text) => {
    expect(() => parseDuration(text)).toThrow(/a duration/);
  });

  it.each([
    ['0', 0],
    ['512', 512],
    ['64KiB', 65_536],
    ['4MiB', 4_194_304],
    ['10GB', 1e10],
    ['1.5KiB', 1536],
    ['1k', 1024],
  ])('reads the size %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'KiB', '-1', '4 apples', '0x10', '99999PiB'])('refuses the size %j', (text) => {
    expect(() => parseSize(text)).toThrow(/a size/);
  });

  it('keeps whole numbers whole and within their bounds', () => {
    expect(parseInteger(1, 256)('256')).toBe(256);
    for (const text of ['0', '257', '1.5', '1e2', '', ' 1', '9007199254740993'])
      expect(() => parseInteger(1, 256)(text)).toThrow(/from 1 to 256/);
  });

  it.each([
    ['0-9', { from: 0, to: 9 }],
    ['5-', { from: 5, to: undefined }],
    ['-20', { last: 20 }],
  ])('reads the range %s', (text, range) => {
    expect(parseRange(text)).toEqual(range);
  });

  it.each(['', '-', '9-0', 'a-b', '1-2-3', '0x1-2'])('refuses the range %j', (text) => {
    expect(() => parseRange(text)).toThrow(/range|bytes/);
  });

  it.each([
    ['0644', 0o777, 0o644],
    ['u+x', 0o644, 0o744],
    ['go-rwx', 0o777, 0o700],
    ['a=r', 0o777, 0o444],
    ['+x', 0o600, 0o711],
    ['u=rw,go=r', 0o777, 0o644],
    ['a+X', 0o600, 0o600],
    ['a+X', 0o700, 0o711],
    ['u+s,+t', 0o755, 0o5755],
  ])('changes a mode by %s', (text, before, after) => {
    expect(parseModeChange(text)(before, false).toString(8)).toBe(after.toString(8));
  });

  it.each(['', '888', '77777', 'u', 'x+u', 'u+rwz'])('refuses the mode %j', (text) => {
    expect(() => parseModeChange(text)).toThrow(/a mode/);
  });

  it('reads owners as numbers', () => {
    expect(parseOwner('1000:1001')).toEqual({ uid: 1000, gid: 1001 });
    expect(parseOwner('1000')).toEqual({ uid: 1000, gid: undefined });
    expect(parseOwner(':5')).toEqual({ uid: undefined, gid: 5 });
    for (const text of ['', ':', 'root', '1:2:3', '4294967295']) expect(() => parseOwner(text)).toThrow(/numbers|whole number/);
  });

  it('shows sizes and times briefly', () => {
    expect([0, 1023, 1024, 1536, 200 * 2 ** 20, 5 * 2 ** 40].map(formatSize)).toEqual([
      '0 B',
      '1023 B',
      '1.00 KiB',
      '1.50 KiB',
      '200 MiB',
      '5.00 TiB',
    ]);
    expect([0, 61, 3723].map(formatClock)).toEqual(['0:00', '1:01', '1:02:03']);
  });
});

describe('formatDuration', () => {
  it.each(['0ms', '250ms', '30s', '90m', '36h', '7d', '1001ms'])('%s is written as it is read', (text) => {
    expect(formatDuration(parseDuration(text))).toBe(text);
  });
});

describe('parseLabel', () => {
  it('splits at the first "="', () => {
    expect([parseLabel('a=b=c'), parseLabel('a=')]).toEqual([
      ['a', 'b=c'],
      ['a', ''],
    ]);
    for (const text of ['a', '=b', '']) expect(() => parseLabel(text)).toThrow(/KEY=VALUE/);
  });
});
