import { describe, expect, it } from 'vitest';
import { parseBindAddress } from './bind-address.js';

describe('addresses to bind', () => {
  it.each(['127.0.0.1:0', '127.9.9.9:80', 'localhost:7777', '[::1]:7777', 'unix:/tmp/nokv.sock'])('accept %s', (text) => {
    expect(() => parseBindAddress('--listen', text)).not.toThrow();
  });
  it.each(['0.0.0.0:7777', '[::]:7777', '10.0.0.1:7777', 'example.com:7777', ':7777'])('refuse %s beyond loopback', (text) => {
    expect(() => parseBindAddress('--listen', text)).toThrow(/--listen.*no authentication/);
  });
  it.each(['7777', 'localhost', '127.0.0.1:99999', 'unix:', `unix:/${'x'.repeat(108)}`])('refuse %s', (text) => {
    expect(() => parseBindAddress('--listen', text)).toThrow(expect.objectContaining({ code: 'bad-configuration' }));
  });
});
