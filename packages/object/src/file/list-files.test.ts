import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { listFiles } from './list-files.js';

// Characters around the slash in byte order, so that directories and files interleave in every way.
const part = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.', '/', '0', '!', '~'), minLength: 1, maxLength: 6 });

test('any tree lists as its sorted keys do, from any prefix and after any key', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 12 }), part, part, async (texts, prefix, after) => {
      const root = mkdtempSync(join(tmpdir(), 'nokv-list-'));
      try {
        const keys = withoutNesting(texts.map(cleaned).filter((key) => key !== ''));
        for (const key of keys) {
          mkdirSync(dirname(join(root, key)), { recursive: true });
          writeFileSync(join(root, key), '');
        }
        for (const [from, start] of [
          ['', ''],
          [prefix, ''],
          ['', after],
          [prefix, after],
        ] as const) {
          const wanted = keys.filter((key) => key.startsWith(from) && key > start).sort();
          const found: string[] = [];
          for await (const key of listFiles(root, from, start)) found.push(key);
          expect(found).toEqual(wanted);
        }
      } finally {
        rmSync(root, { recursive: true });
      }
    }),
    { numRuns: 150 },
  );
});

function cleaned(text: string): string {
  return text
    .split('/')
    .filter((name) => name !== '' && name !== '.' && name !== '..')
    .join('/');
}

/** No key is the directory of another. */
function withoutNesting(keys: readonly string[]): string[] {
  const kept: string[] = [];
  for (const key of keys) {
    if (!kept.some((other) => other === key || other.startsWith(`${key}/`) || key.startsWith(`${other}/`))) kept.push(key);
  }
  return kept;
}
