/**
 * The object that says whose store this is: written once by the first server, compared by everyone after, so that two
 * clusters never share a directory or prefix by mistake.
 *
 * JSON, at most 4 KiB: `{"format":1,"marker":"<32 hex>"}`.
 */
import { NAMESPACE_MARKER_KEY, NokvError, isNokvError, systemRandom, type Random } from '@nokv/types';
import type { ObjectStore, StoreCallOptions } from './object-store.js';

export const NAMESPACE_MARKER_FORMAT = 1;
const MARKER_BYTES_MAX = 4096;
const MARKER = /^[0-9a-f]{32}$/;

/** The store's marker, or undefined when nobody has claimed it yet. */
export async function readNamespaceMarker(store: ObjectStore, options: StoreCallOptions = {}): Promise<string | undefined> {
  try {
    return parseNamespaceMarker(await store.get(NAMESPACE_MARKER_KEY, options), store.description);
  } catch (error) {
    if (isNokvError(error, 'no-object')) return undefined;
    throw error;
  }
}

/**
 * Claims the store on first use and returns its marker. With `expected` (what this cluster noted down earlier) another
 * or a missing marker is refused: the store is not the one that the metadata speaks of.
 */
export async function claimNamespace(
  store: ObjectStore,
  options: StoreCallOptions & { readonly expected?: string | undefined; readonly random?: Random | undefined } = {},
): Promise<string> {
  const { expected, random = systemRandom, signal } = options;
  const found = await readNamespaceMarker(store, { signal });
  if (expected !== undefined) {
    if (found !== expected) throw foreignStore(store, expected, found);
    return found;
  }
  if (found !== undefined) return found;
  const marker = Buffer.from(random.bytes(16)).toString('hex');
  await store.putIfAbsent(NAMESPACE_MARKER_KEY, Buffer.from(JSON.stringify({ format: NAMESPACE_MARKER_FORMAT, marker })), { signal });
  // Another server may have been first: what the store holds counts.
  const now = await readNamespaceMarker(store, { signal });
  if (now === undefined)
    throw new NokvError('store-unfit', `${store.description}: the namespace marker was written and cannot be read back`);
  return now;
}

function foreignStore(store: ObjectStore, expected: string, found: string | undefined): NokvError {
  return new NokvError(
    'bad-configuration',
    `${store.description}: expected the store of namespace ${expected}, found ${found === undefined ? 'no marker' : `that of ${found}`}; ` +
      `give the store that this data directory was used with, or an empty data directory`,
    { details: { expected, found: found ?? null } },
  );
}

/** @param where for the message. */
export function parseNamespaceMarker(bytes: Uint8Array, where: string): string {
  let value: unknown;
  try {
    if (bytes.length <= MARKER_BYTES_MAX) value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null && 'format' in value) {
    if (value.format !== NAMESPACE_MARKER_FORMAT) {
      throw new NokvError(
        'unsupported-format',
        `${where}: expected namespace marker format ${NAMESPACE_MARKER_FORMAT}, found ${JSON.stringify(value.format)}; use the build that made it`,
      );
    }
    if ('marker' in value && typeof value.marker === 'string' && MARKER.test(value.marker)) return value.marker;
  }
  throw new NokvError('corrupt', `${where}: object ${NAMESPACE_MARKER_KEY} is not a namespace marker; restore it, or use another prefix`, {
    details: { key: NAMESPACE_MARKER_KEY },
  });
}
