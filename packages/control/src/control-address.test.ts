import { describe, expect, it } from 'vitest';
import { parseControlAddress } from './control-address.js';

describe('the control address', () => {
  it.each([
    ['embedded:', { kind: 'embedded' }],
    ['etcd://127.0.0.1:2379', { kind: 'etcd', hosts: ['127.0.0.1:2379'], prefix: '/nokv' }],
    ['etcd://a:1,b:2,[::1]:3/team/ns/', { kind: 'etcd', hosts: ['a:1', 'b:2', '[::1]:3'], prefix: '/team/ns' }],
  ])('reads %s', (text, address) => {
    expect(parseControlAddress(text)).toEqual(address);
  });

  it.each(['', 'etcd:', 'etcd://', 'etcd://host', 'zk://a:1', 'etcd://a:1/ns with spaces'])('refuses %j', (text) => {
    expect(() => parseControlAddress(text)).toThrow(expect.objectContaining({ code: 'bad-configuration' }));
  });

  it('does not repeat credentials', () => {
    expect(() => parseControlAddress('etcd://root:secret@a:1/ns')).toThrow(/^(?!.*secret)/);
  });
});
