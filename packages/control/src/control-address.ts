/** Where coordination happens, as `--control` says it. */
import { NokvError } from '@nokv/types';

export type ControlAddress =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'etcd'; readonly hosts: readonly string[]; readonly prefix: string };

const HOST = /^[A-Za-z0-9._-]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/;
const PREFIX = /^\/[A-Za-z0-9._/-]{0,200}$/;

/** `embedded:` or `etcd://host:2379[,host:2379…]/prefix`. */
export function parseControlAddress(text: string): ControlAddress {
  if (text === 'embedded:' || text === 'embedded') return { kind: 'embedded' };
  const scheme = 'etcd://';
  if (!text.startsWith(scheme)) throw refusal(text, 'it begins with neither "embedded:" nor "etcd://"');
  const rest = text.slice(scheme.length);
  const slash = rest.indexOf('/');
  const hosts = (slash < 0 ? rest : rest.slice(0, slash)).split(',');
  const prefix = slash < 0 ? '/nokv' : rest.slice(slash).replace(/\/+$/, '');
  for (const host of hosts) {
    if (!HOST.test(host)) throw refusal(text, `"${host.includes('@') ? '…' : host}" is not host:port`);
  }
  if (prefix === '') return { kind: 'etcd', hosts, prefix: '/nokv' };
  if (!PREFIX.test(prefix)) throw refusal(text, 'its prefix has characters other than letters, digits, ".", "_", "-" and "/"');
  return { kind: 'etcd', hosts, prefix };
}

function refusal(text: string, why: string): NokvError {
  const shown = text.includes('@') ? 'an address with credentials' : `"${text}"`;
  return new NokvError('bad-configuration', `expected --control embedded: or etcd://host:2379[,host:2379]/prefix, found ${shown}: ${why}`);
}
