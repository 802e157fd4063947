/** Addresses of RPC endpoints as people write them. */
import { NokvError, RPC_PORT_DEFAULT } from '@nokv/types';

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** sockaddr_un.sun_path holds 108 bytes with its NUL (unix(7)). */
const UNIX_PATH_BYTES_MAX = 107;

/** `host:port`, `host`, `[v6]:port`, `unix:/path`. */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:')) return unixAddress(text, text.slice('unix:'.length).replace(/^\/\/(?=\/)/, ''));
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? RPC_PORT_DEFAULT : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65535) {
    throw new NokvError(
      'invalid-argument',
      `expected an address such as 127.0.0.1:${RPC_PORT_DEFAULT} or unix:/run/nokv.sock, found "${text}"`,
    );
  }
  return { kind: 'tcp', host, port };
}

export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function unixAddress(text: string, path: string): Address {
  if (!path.startsWith('/')) throw new NokvError('invalid-argument', `expected an absolute path after "unix:", found "${text}"`);
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX) {
    throw new NokvError(
      'invalid-argument',
      `the path of a unix socket has at most ${UNIX_PATH_BYTES_MAX} bytes, found ${Buffer.byteLength(path)}; choose a shorter one`,
    );
  }
  return { kind: 'unix', path };
}
