/** Against the real diff(1) and patch(1). */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unifiedDiff } from './unified.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'nokv-diff-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const TIME = { sec: 1_700_000_000, nsec: 0 };

function ours(a: Uint8Array, b: Uint8Array): string {
  return unifiedDiff({ name: 'a', mtime: TIME, bytes: a }, { name: 'b', mtime: TIME, bytes: b }).toString('latin1');
}

function place(a: Uint8Array, b: Uint8Array): void {
  for (const [name, bytes] of [
    ['a', a],
    ['b', b],
  ] as const) {
    writeFileSync(join(directory, name), bytes);
    utimesSync(join(directory, name), TIME.sec, TIME.sec);
  }
}

function theirs(a: Uint8Array, b: Uint8Array, ...flags: string[]): string {
  place(a, b);
  const { stdout, status } = spawnSync('diff', [...flags, '-u', 'a', 'b'], {
    cwd: directory,
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  });
  if (status !== 0 && status !== 1) throw new Error(`diff ended with ${status}`);
  return stdout.toString('latin1');
}

function patched(a: Uint8Array, b: Uint8Array): Uint8Array {
  place(a, b);
  writeFileSync(join(directory, 'p'), Buffer.from(ours(a, b), 'latin1'));
  execFileSync('patch', ['-s', '-o', 'out', 'a', 'p'], { cwd: directory });
  return readFileSync(join(directory, 'out'));
}

/** How many shortest edit scripts there are, counted over all alignments; enough to tell one from several. */
function shortestScripts(a: Uint8Array, b: Uint8Array): number {
  const lines = (bytes: Uint8Array) =>
    Buffer.from(bytes)
      .toString('latin1')
      .split(/(?<=\n)/)
      .filter((line) => line !== '');
  const [x, y] = [lines(a), lines(b)];
  // Longest common subsequences by the positions that they match: paths that differ in the order of edits alone are one.
  const best: number[][] = Array.from({ length: x.length + 1 }, () => Array.from({ length: y.length + 1 }, () => 0));
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      const [down, right, both] = [best[i + 1]?.[j] ?? 0, best[i]?.[j + 1] ?? 0, best[i + 1]?.[j + 1] ?? 0];
      (best[i] as number[])[j] = x[i] === y[j] ? Math.max(both + 1, down, right) : Math.max(down, right);
    }
  }
  const counts = new Map<string, number>();
  const count = (i: number, j: number): number => {
    const left = best[i]?.[j] ?? 0;
    if (left === 0) return 1;
    const key = `${i},${j}`;
    const known = counts.get(key);
    if (known !== undefined) return known;
    let sum = 0;
    // The next matched pair that still leads to a longest one.
    for (let p = i; p < x.length; p++) {
      for (let q = j; q < y.length; q++) if (x[p] === y[q] && (best[p + 1]?.[q + 1] ?? 0) + 1 === left) sum += count(p + 1, q + 1);
    }
    counts.set(key, sum);
    return sum;
  };
  return count(0, 0);
}

const changedLines = (patch: string) => patch.split('\n').filter((line) => /^[-+](?!--|\+\+)/.test(line)).length;

const text = (lines: readonly string[], ends: boolean) => Buffer.from(lines.join('\n') + (ends && lines.length > 0 ? '\n' : ''), 'latin1');
const few = fc.array(fc.constantFrom('a', 'b', 'c', 'd', '', ' x'), { maxLength: 24 });
const pair = fc.tuple(few, few, fc.boolean(), fc.boolean()).map(([a, b, aEnds, bEnds]) => [text(a, aEnds), text(b, bEnds)] as const);

/** Numbered lines with some removed, changed and put in: what an edit looks like. */
const edited = fc
  .tuple(
    fc.integer({ min: 0, max: 120 }),
    fc.array(fc.tuple(fc.nat(120), fc.constantFrom('cut', 'change', 'add')), { maxLength: 8 }),
    fc.boolean(),
  )
  .map(([length, edits, ends]) => {
    const a = Array.from({ length }, (_, i) => `line ${i}`);
    const b = [...a];
    for (const [where, how] of edits) {
      const at = Math.min(where, b.length);
      if (how === 'cut') b.splice(at, 2);
      else if (how === 'change' && at < b.length) b[at] = `changed ${at}`;
      else b.splice(at, 0, `new at ${at}`);
    }
    return [text(a, true), text(b, ends)] as const;
  });

describe('a unified diff', () => {
  it('is what patch(1) makes the second text of', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        if (Buffer.compare(a, b) === 0) expect(ours(a, b)).toBe('');
        else expect(Buffer.from(patched(a, b)).toString('latin1')).toBe(b.toString('latin1'));
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  it('is no longer than the shortest', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        expect(changedLines(ours(a, b))).toBe(changedLines(theirs(a, b, '--minimal')));
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  it('is byte for byte that of diff -u where there is one shortest script', () => {
    let unique = 0;
    fc.assert(
      fc.property(fc.oneof(edited, pair), ([a, b]) => {
        if (shortestScripts(a, b) !== 1) return;
        unique += 1;
        expect(ours(a, b)).toBe(theirs(a, b, '--minimal'));
      }),
      { numRuns: 300 },
    );
    expect(unique).toBeGreaterThan(50);
  }, 60_000);

  it('is byte for byte that of diff -u for edits of a text', () => {
    fc.assert(
      fc.property(edited, ([a, b]) => {
        expect(ours(a, b)).toBe(theirs(a, b));
      }),
      { numRuns: 200 },
    );
  }, 60_000);

  it('lays a run that could lie in several places where diff -u lays it', () => {
    const blocks = (count: number) => Array.from({ length: count }, () => ['{', '  x', '}', '']).flat();
    for (const [from, to] of [
      [3, 4],
      [4, 3],
      [1, 6],
    ] as const) {
      const [a, b] = [text(blocks(from), true), text(blocks(to), true)];
      expect(ours(a, b)).toBe(theirs(a, b));
    }
  });

  it.each([
    ['no newline at the end of one', 'a\nb', 'a\nb\n'],
    ['no newline at the end of both', 'a\nb', 'a\nc'],
    ['an empty first text', '', 'a\nb\n'],
    ['an empty second text', 'a\nb\n', ''],
    ['bytes that are no UTF-8', 'a\n\xff\n', 'a\n\xfe\n'],
    ['carriage returns', 'a\r\nb\r\n', 'a\nb\n'],
    ['one line', 'a\n', 'b\n'],
    ['a binary body', 'a\0b\n', 'a\0c\n'],
    ['six lines between two changes', '1\n2\n3\n4\n5\n6\n7\n8\n', 'x\n2\n3\n4\n5\n6\n7\ny\n'],
    ['seven lines between two changes', '1\n2\n3\n4\n5\n6\n7\n8\n9\n', 'x\n2\n3\n4\n5\n6\n7\n8\ny\n'],
  ])('of %s is that of diff -u', (_name, a, b) => {
    const [x, y] = [Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')];
    expect(ours(x, y)).toBe(theirs(x, y));
  });

  it('of large texts without anything in common takes bounded time, and is right', () => {
    const a = text(
      Array.from({ length: 20_000 }, (_, i) => `${(i * 7919) % 20_011}`),
      true,
    );
    const b = text(
      Array.from({ length: 20_000 }, (_, i) => `${(i * 104_729) % 20_011}`),
      true,
    );
    expect(Buffer.compare(patched(a, b), b)).toBe(0);
  }, 60_000);
});
