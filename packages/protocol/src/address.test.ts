import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress } from './address.js';

describe('parseAddress', () => {
  it.each([
    ['127.0.0.1:7777', { kind: 'tcp', host: '127.0.0.1', port: 7777 }, '127.0.0.1:7777'],
    ['localhost', { kind: 'tcp', host: 'localhost', port: 7777 }, 'localhost:7777'],
    ['[::1]:0', { kind: 'tcp', host: '::1', port: 0 }, '[::1]:0'],
    ['unix:/run/nokv.sock', { kind: 'unix', path: '/run/nokv.sock' }, 'unix:/run/nokv.sock'],
    ['unix:///run/nokv.sock', { kind: 'unix', path: '/run/nokv.sock' }, 'unix:/run/nokv.sock'],
  ] as const)('reads %s', (text, address, written) => {
    expect(parseAddress(text)).toEqual(address);
    expect(formatAddress(parseAddress(text))).toBe(written);
  });

  it.each(['', ':7777', 'host:99999', 'host:port', '::1:5', 'unix:relative', 'http://host:1', `unix:/${'x'.repeat(120)}`])(
    'refuses %j and says what it expects',
    (text) => {
      expect(() => parseAddress(text)).toThrow(/expected an a|absolute path|at most 107 bytes/);
    },
  );
});
