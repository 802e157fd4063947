/**
 * Globs of remote paths, as a shell would expand local ones: `*` and `?` stay within a name, `**` is any number of directories, a name
 * that begins with a dot needs a dot. What is there under the very path as it was written is meant by it, whatever signs it holds.
 */
import type { AtLike, NokvClient } from '@nokv/client';
import { compileGlob } from '@nokv/agent/glob';
import { NokvError, isNokvError, joinPath, parseName, splitPath } from '@nokv/types';
import { type Address, addressesOf, atOf } from './address.js';
import type { Call } from './command.js';
import { showPath } from './remote-path.js';

type Asked = Parameters<typeof addressesOf>[0] & Pick<Call, 'signal'>;

const GLOB_SIGNS = /[*?[{]/;
/** More are a mistake more often than a wish; each is held in memory. */
const MATCHES_MAX = 100_000;

/** The addresses of all arguments, globs among them expanded in byte order of their names. */
export async function expandedAddresses(call: Asked, client: NokvClient, texts: readonly string[]): Promise<Address[]> {
  const expanded: Address[] = [];
  for (const address of addressesOf(call, texts)) {
    if (!GLOB_SIGNS.test(address.text)) expanded.push(address);
    else expanded.push(...(await matches(call, client, address)));
  }
  return expanded;
}

/** Whether an argument may stand for several paths. */
export function isGlob(text: string): boolean {
  return GLOB_SIGNS.test(text);
}

async function matches(call: Asked, client: NokvClient, address: Address): Promise<readonly Address[]> {
  const { signal } = call;
  const { moment, text } = address;
  // A generation is that of each file; the names are those of now.
  const at =
    moment === undefined || moment.kind === 'ordinal' || moment.kind === 'generation' ? undefined : await atOf(call, client, address);
  const options = { signal, ...(at === undefined ? {} : { at }) };
  if (await client.exists(address.path, options)) return [address];
  const suffix = address.written.slice(text.length);
  const found: Address[] = [];
  for await (const path of expand(client, [], componentsOf(text), options)) {
    if (found.length === MATCHES_MAX)
      throw new NokvError('invalid-argument', `${text}: matches more than ${MATCHES_MAX} paths; name fewer`);
    const shown = showPath(path);
    found.push({ path, text: shown, written: `${shown}${suffix}`, moment });
  }
  if (found.length === 0) throw new NokvError('not-found', `${text}: matches no path`);
  return found;
}

type Component =
  | { readonly kind: 'name'; readonly name: Uint8Array }
  | { readonly kind: 'glob'; readonly takes: (name: string) => boolean }
  | { readonly kind: 'any-depth' };

function componentsOf(text: string): Component[] {
  return text
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .map((part): Component => {
      if (part === '**') return { kind: 'any-depth' };
      if (!GLOB_SIGNS.test(part)) return { kind: 'name', name: parseName(part) };
      const pattern = compileGlob(globOf(part), { argument: text });
      return { kind: 'glob', takes: (name) => (part.startsWith('.') || !name.startsWith('.')) && pattern.test(name) };
    });
}

/** Names are matched as they are shown: a byte as `\xHH`, a backslash as `\\`. An escaped sign of globs stands for itself. */
function globOf(part: string): string {
  return part.replaceAll(/\\(x[0-9a-fA-F]{2}|\\)/g, (whole, escape: string) => {
    if (escape === '\\') return '\\\\\\\\';
    const byte = Number.parseInt(escape.slice(1), 16);
    return byte >= 0x20 && byte < 0x7f ? `\\${String.fromCharCode(byte)}` : `\\\\${whole.slice(1).toLowerCase()}`;
  });
}

async function* expand(
  client: NokvClient,
  above: readonly Uint8Array[],
  [first, ...rest]: readonly Component[],
  options: { readonly signal: AbortSignal; readonly at?: AtLike },
): AsyncGenerator<Uint8Array> {
  const path = joinPath(above);
  if (first === undefined) {
    yield path;
  } else if (first.kind === 'name') {
    const names = splitPath(joinPath([...above, first.name]));
    if (rest.length > 0 || (await client.exists(joinPath(names), options))) yield* expand(client, names, rest, options);
  } else {
    if (first.kind === 'any-depth') yield* expand(client, above, rest, options);
    for await (const { name, nameBytes, type } of entriesOf(client, path, options)) {
      const below = [...above, nameBytes];
      if (first.kind === 'any-depth') {
        if (type === 'directory' && !name.startsWith('.')) yield* expand(client, below, [first, ...rest], options);
      } else if (first.takes(name) && (rest.length === 0 || type === 'directory' || type === 'symlink')) {
        yield* expand(client, below, rest, options);
      }
    }
  }
}

/** What is no directory, or none any more, holds no match. */
async function* entriesOf(client: NokvClient, path: Uint8Array, options: { readonly signal: AbortSignal; readonly at?: AtLike }) {
  try {
    yield* client.list(path, { ...options, attributes: false });
  } catch (error) {
    if (!isNokvError(error, 'not-found') && !isNokvError(error, 'not-directory')) throw error;
  }
}
