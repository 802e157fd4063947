import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('the example of the README prints what it says', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? '';
  const printed = /console\.log\(.*\); \/\/ (.*)$/m.exec(code)?.[1];
  const body = code.replace(/^import (\{.*\}) from ('.*');$/gm, 'const $1 = await load($2);');
  const directory = mkdtempSync(join(tmpdir(), 'nokv-readme-'));
  try {
    const bytes = randomBytes(10_000_000);
    const sink: Uint8Array[] = [];
    const lines: string[] = [];
    const names = ['load', 'directory', 'source', 'sink', 'console'];
    const run = new (Object.getPrototypeOf(async () => undefined).constructor)(...names, body);
    const load = (name: string) => (name === '@nokv/object' ? import('./index.js') : import('@nokv/types'));
    await run(load, directory, [bytes], sink, { log: (...parts: unknown[]) => lines.push(parts.join(' ')) });
    expect(lines).toEqual([printed]);
    expect(Buffer.concat(sink).equals(bytes.subarray(-1000))).toBe(true);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
