/** What a store has, by listing: the keys of all objects under a prefix. */
import { openFileStore, type ObjectStore } from '@nokv/object';

export async function keysOf(store: ObjectStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  // Ends because every page goes on behind the last.
  for (;;) {
    const { objects, more } = await store.list(prefix, { limit: 1000, after: keys.at(-1) });
    keys.push(...objects.map(({ key }) => key));
    if (!more || objects.length === 0) return keys;
  }
}

/** Of a directory that a server may be using meanwhile. */
export async function keysOfDirectory(directory: string, prefix?: string): Promise<string[]> {
  const store = await openFileStore(directory);
  try {
    return await keysOf(store, prefix);
  } finally {
    await store.close();
  }
}
