/** No layout without a vector: whoever adds a family, a system row or a kind of work adds what it looks like. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FAMILY, GC_KIND, SYSTEM_ITEM } from './key.js';

function vectors(name: string): Readonly<Record<string, string>> {
  return JSON.parse(readFileSync(new URL(`./vectors/${name}.json`, import.meta.url), 'utf8')) as Record<string, string>;
}

/** Values of each family, by the names of their vectors; `none` where a row is nothing beyond its key. */
const VALUES_OF: Readonly<Record<keyof typeof FAMILY, readonly string[] | 'none' | 'those of other families'>> = {
  system: ['format', 'epoch', 'progress'],
  inode: ['inode file', 'inode directory', 'inode symlink', 'inode device', 'inode of a fork'],
  dentry: ['dentry with attributes', 'dentry bare'],
  link: ['link'],
  body: ['body inline', 'body blocks'],
  xattr: ['xattr'],
  origin: ['origin'],
  whiteout: 'none',
  counterpart: ['counterpart'],
  extent: ['extent'],
  upload: ['upload open', 'upload ended'],
  digest: ['digest'],
  history: 'those of other families',
  change: ['change renamed', 'change of nothing'],
  request: ['request'],
  gc: ['gc of a body', 'gc of a removed body'],
  counters: ['counters'],
  pin: ['pin snapshot', 'pin tag'],
  tag: ['tag'],
  fork: ['fork'],
  policy: ['policy'],
  session: ['session open', 'session ended'],
  hold: ['hold handle', 'hold lock shared', 'hold lock exclusive'],
  sessionHold: ['session hold'],
  sessions: ['sessions'],
};

test('every family has a key among the vectors, and no vector is of another', () => {
  const seen = new Set(Object.values(vectors('keys')).map((hex) => Number.parseInt(hex.slice(0, 2), 16)));
  expect([...seen].sort((a, b) => a - b)).toEqual(Object.values(FAMILY).sort((a, b) => a - b));
});

test('every system row has a key among the vectors', () => {
  const keys = [...Object.values(vectors('keys')), ...Object.values(vectors('log'))];
  for (const [name, item] of Object.entries(SYSTEM_ITEM)) {
    expect({ name, isThere: keys.some((hex) => hex.startsWith(`01${item.toString(16).padStart(2, '0')}`)) }).toEqual({
      name,
      isThere: true,
    });
  }
});

test('every kind of work in the queue has a key among the vectors', () => {
  const kinds = new Set(
    Object.values(vectors('keys'))
      .filter((hex) => Number.parseInt(hex.slice(0, 2), 16) === FAMILY.gc)
      .map((hex) => Number.parseInt(hex.slice(18, 20), 16)),
  );
  expect([...kinds].sort((a, b) => a - b)).toEqual(Object.values(GC_KIND).sort((a, b) => a - b));
});

test('every family has its values among the vectors', () => {
  const values = vectors('values');
  for (const [family, names] of Object.entries(VALUES_OF)) {
    for (const name of Array.isArray(names) ? (names as readonly string[]) : [])
      expect({ family, name, hex: values[name] }).toEqual({ family, name, hex: expect.any(String) as string });
  }
});
