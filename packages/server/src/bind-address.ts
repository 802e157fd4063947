/** Addresses that the process binds. Without authentication nothing but this machine may reach it. */
import { isIP } from 'node:net';
import { NokvError } from '@nokv/types';

export type BindAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** `host:port`, `[v6]:port` or `unix:/path`; anything beyond loopback is refused with `bad-configuration`. */
export function parseBindAddress(flag: string, text: string): BindAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    // sun_path holds 108 bytes with its final NUL (unix(7)).
    if (path.length === 0 || Buffer.byteLength(path) > 107) {
      throw new NokvError('bad-configuration', `expected ${flag} unix:/path of 1 to 107 bytes, found ${Buffer.byteLength(path)}`);
    }
    return { kind: 'unix', path };
  }
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new NokvError('bad-configuration', `expected ${flag} host:port or unix:/path, found "${text}"`);
  }
  const host = match[1] ?? match[2] ?? '';
  if (!isLoopback(host)) {
    throw new NokvError(
      'bad-configuration',
      `${flag} ${text} would be reachable from other machines, and this version has no authentication; bind 127.0.0.1, [::1] or unix:/path`,
    );
  }
  return { kind: 'tcp', host, port };
}

export function formatHostPort(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
