import fc from 'fast-check';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testContext } from '../testing/context.js';
import { StillClock } from '../testing/context.js';
import { MemoryPlane } from '../testing/memory-plane.js';
import { callVerb, type VerbInput, type VerbResult } from '../verb-list.js';
import type { Budget } from '../budget.js';

/** All pages of a search. */
async function pages(plane: MemoryPlane, input: VerbInput<'grep'>, budget?: Partial<Budget>): Promise<VerbResult<'grep'>[]> {
  const results: VerbResult<'grep'>[] = [];
  let cursor: string | undefined;
  do {
    const page = await callVerb('grep', plane, cursor === undefined ? input : { ...input, cursor }, testContext(budget));
    results.push(page);
    cursor = page.cursor;
  } while (cursor !== undefined && results.length < 2000);
  expect(cursor).toBeUndefined();
  return results;
}

/** `path:line` of every match, over all pages. */
function found(results: readonly VerbResult<'grep'>[]): string[] {
  return results.flatMap(({ files }) =>
    files.flatMap(({ path, lines = [] }) => lines.filter((line) => line.context !== true).map((line) => `${path}:${line.line}`)),
  );
}

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  'a/one.py': 'import os\n\ndef main():\n    return os.environ["HOME"]\n',
  'a/two.txt': 'Error: first\nerror: second\nERROR third\nno match\n\nlast line without end error',
  'a/b/deep.log': Array.from({ length: 400 }, (_, i) => (i % 37 === 0 ? `step ${i} Error ${i * 3}` : `step ${i} fine`)).join('\n'),
  'a/b/crlf.txt': 'first\r\nError here\r\nend\r\n',
  'a/empty.txt': '',
  'a/newlines.txt': '\n\n\n',
  'bin/data.bin': Uint8Array.from([...new TextEncoder().encode('Error in binary\n'), 0, 1, 2]),
  'bin/late.bin': Uint8Array.from([
    ...new TextEncoder().encode(`Error early\n${'x'.repeat(70_000)}\n`),
    0,
    ...new TextEncoder().encode('\nError late\n'),
  ]),
  'latin.txt': Uint8Array.from([0x63, 0x61, 0x66, 0xe9, 0x20, 0x45, 0x72, 0x72, 0x6f, 0x72, 10]),
  'unicode.txt': 'Straße\nПРИВЕТ мир\n😀 smile\nnaïve café\n',
  '.hidden/secret.txt': 'Error hidden\n',
  'long.txt': `${'y'.repeat(300_000)}Error${'z'.repeat(300_000)}\nshort Error\n`,
  'blocks.txt': `${'filler line of some length\n'.repeat(40_000)}needle\n${'filler\n'.repeat(30_000)}needle again\n`,
};

function planted(): MemoryPlane {
  const plane = new MemoryPlane(new StillClock());
  for (const [path, body] of Object.entries(FILES)) plane.write(`/c/${path}`, body);
  return plane;
}

describe('against ripgrep on an exported copy', () => {
  const rg = spawnSync('rg', ['--version']);
  const isThere = rg.status === 0;
  if (!isThere) console.warn('skipped: grep is not compared with ripgrep, because rg is not on the PATH');
  let directory = '';

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'nokv-grep-'));
    for (const [path, body] of Object.entries(FILES)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), body);
    }
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** `/c/path:line` as ripgrep sees it; binary files are left out, as grep leaves them out. */
  function ripgrep(args: readonly string[]): string[] {
    const { stdout, stderr, status } = spawnSync(
      'rg',
      ['--no-config', '--no-ignore', '--hidden', '--line-number', '--no-heading', '--null', '--max-columns=10', ...args, '.'],
      {
        cwd: directory,
        encoding: 'latin1',
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    if (status === 2) throw new Error(stderr);
    return stdout
      .split('\n')
      .filter((line) => line.includes('\0'))
      .map((line) => `/c/${line.slice(2, line.indexOf('\0'))}:${line.slice(line.indexOf('\0') + 1).split(':')[0]}`)
      .filter((line) => !line.includes('.bin:'))
      .toSorted();
  }

  const cases: readonly (readonly [string, VerbInput<'grep'>, readonly string[]])[] = [
    ['regex', { pattern: 'Error' }, ['-e', 'Error']],
    ['case', { pattern: 'error', ignoreCase: true }, ['-i', '-e', 'error']],
    ['literal', { pattern: 'os.environ["HOME"]', literal: true }, ['-F', '-e', 'os.environ["HOME"]']],
    ['literal without case', { pattern: 'ERROR:', literal: true, ignoreCase: true }, ['-F', '-i', '-e', 'ERROR:']],
    ['several patterns', { pattern: ['^def', 'third$', 'needle'] }, ['-e', '^def', '-e', 'third$', '-e', 'needle']],
    ['anchors', { pattern: '^$' }, ['-e', '^$']],
    ['line end before CR', { pattern: 'here$' }, ['-e', 'here$']],
    ['CR as any character', { pattern: 'here.$' }, ['-e', 'here.$']],
    ['classes', { pattern: '[[:upper:]]{5}\\s\\w+' }, ['-e', '[[:upper:]]{5}\\s\\w+']],
    ['unicode without case', { pattern: 'привет', ignoreCase: true }, ['-i', '-e', 'привет']],
    ['unicode characters', { pattern: '^. smile' }, ['-e', '^. smile']],
    ['unicode classes', { pattern: '\\p{Cyrillic}{3}' }, ['-e', '\\p{Cyrillic}{3}']],
    ['one glob', { pattern: 'Error', glob: '*.log' }, ['-g', '*.log', '-e', 'Error']],
    ['globs', { pattern: 'Error', glob: ['*.{log,txt}', '!long*'] }, ['-g', '*.{log,txt}', '-g', '!long*', '-e', 'Error']],
    ['a directory left out', { pattern: 'Error', glob: '!b' }, ['-g', '!b', '-e', 'Error']],
    ['a glob with a path', { pattern: 'Error', glob: 'a/*.txt' }, ['-g', 'a/*.txt', '-e', 'Error']],
    ['a glob across directories', { pattern: 'Error', glob: 'a/**/*.log' }, ['-g', 'a/**/*.log', '-e', 'Error']],
    ['everything', { pattern: '' }, ['-e', '']],
    ['nothing', { pattern: 'no such text anywhere' }, ['-e', 'no such text anywhere']],
  ];

  test.skipIf(!isThere).each(cases)('%s', async (_name, input, args) => {
    const results = await pages(planted(), { path: '/c', ...input, limit: 1000 });
    expect(
      found(results)
        .filter((line) => !line.includes('.bin:'))
        .toSorted(),
    ).toEqual(ripgrep(args));
  });

  test.skipIf(!isThere)('counts', async () => {
    const { stdout } = spawnSync('rg', ['--no-config', '--no-ignore', '--hidden', '--count', '-e', 'Error', '.'], {
      cwd: directory,
      encoding: 'utf8',
    });
    const expected = stdout
      .split('\n')
      .filter((line) => line !== '' && !line.includes('.bin'))
      .map((line) => `/c/${line.slice(2)}`);
    const results = await pages(planted(), { path: '/c', pattern: 'Error', mode: 'count' });
    expect(
      results
        .flatMap(({ files }) => files.map(({ path, count }) => `${path}:${count}`))
        .filter((line) => !line.includes('.bin'))
        .toSorted(),
    ).toEqual(expected.toSorted());
  });

  test.skipIf(!isThere)('context', async () => {
    const { stdout } = spawnSync(
      'rg',
      ['--no-config', '--no-heading', '--line-number', '-B', '2', '-A', '1', '-e', 'Error', 'a/two.txt', 'a/b/deep.log'],
      { cwd: directory, encoding: 'utf8' },
    );
    const expected = stdout
      .split('\n')
      .filter((line) => line !== '' && line !== '--')
      .map((line) => line.replace(/^([^:]*?)[-:](\d+)([-:])/, '$1|$2$3'));
    const results = await pages(planted(), { path: ['/c/a/two.txt', '/c/a/b/deep.log'], pattern: 'Error', before: 2, after: 1 });
    const lines = results.flatMap(({ files }) =>
      files.flatMap(({ path, lines: shown = [] }) =>
        shown.map((line) => `${path.slice(3)}|${line.line}${line.context === true ? '-' : ':'}${line.text}`),
      ),
    );
    expect(lines.toSorted()).toEqual(expected.toSorted());
  });
});

describe('pages', () => {
  const words = fc.constantFrom('needle', 'hay', 'needle hay', '', 'é needle', 'x');
  const trees = fc.dictionary(fc.constantFrom('/a', '/b/c', '/b/d', '/e', '/f/g/h'), fc.array(words, { maxLength: 12 }), { maxKeys: 5 });

  test('every match comes once, whatever the limit and the mode', async () => {
    await fc.assert(
      fc.asyncProperty(trees, fc.integer({ min: 1, max: 5 }), fc.nat({ max: 2 }), async (tree, limit, context) => {
        const plane = new MemoryPlane(new StillClock());
        const expected: string[] = [];
        for (const [path, lines] of Object.entries(tree)) {
          plane.write(path, lines.join('\n'));
          for (const [i, line] of lines.entries()) if (line.includes('needle')) expected.push(`${path}:${i + 1}`);
        }
        expect(found(await pages(plane, { pattern: 'needle', limit, context })).toSorted()).toEqual(expected.toSorted());
        const counts = (await pages(plane, { pattern: 'needle', limit, mode: 'count' })).flatMap(({ files }) =>
          files.map(({ path, count }) => [path, count]),
        );
        const perFile = Object.entries(tree)
          .map(([path, lines]) => [path, lines.filter((line) => line.includes('needle')).length] as const)
          .filter(([, count]) => count > 0);
        expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(perFile));
        const files = (await pages(plane, { pattern: 'needle', limit, mode: 'files' })).flatMap((page) =>
          page.files.map(({ path }) => path),
        );
        expect(files.toSorted()).toEqual(perFile.map(([path]) => path).toSorted());
      }),
      { numRuns: 150 },
    );
  });

  test('a bound of the answer, of bytes or of entries stops with a cursor that goes on', async () => {
    const plane = planted();
    const whole = found(await pages(plane, { path: '/c', pattern: 'e', limit: 1000 }, { answerBytes: 10_000_000 }));
    expect(whole.length).toBeGreaterThan(70_000);
    const small = planted();
    for (const path of ['/c/blocks.txt', '/c/long.txt']) small.remove(path);
    const expected = found(await pages(small, { path: '/c', pattern: 'e', limit: 1000 }));
    for (const budget of [{ answerBytes: 4000 }, { searchBytes: 100 }, { entries: 2 }]) {
      const results = await pages(small, { path: '/c', pattern: 'e', limit: 1000 }, budget);
      expect(results.length).toBeGreaterThan(1);
      expect(results[0]?.scan).toMatchObject({ complete: false });
      expect(results.at(-1)?.scan.complete).toBe(true);
      expect(found(results)).toEqual(expected);
    }
  });

  test('a deadline stops in the middle of a file and the next call goes on there', async () => {
    const clock = new StillClock();
    const plane = planted();
    const read = plane.open.bind(plane);
    plane.open = async (path, options) => {
      const body = await read(path, options);
      return {
        ...body,
        async *stream(offset, streamOptions) {
          for await (const chunk of body.stream(offset, streamOptions)) {
            clock.ms += 4;
            yield chunk;
          }
        },
      };
    };
    const lines: string[] = [];
    let cursor: string | undefined;
    let calls = 0;
    do {
      const page = await callVerb(
        'grep',
        plane,
        { path: '/c/blocks.txt', pattern: 'needle', ...(cursor === undefined ? {} : { cursor }) },
        testContext({ timeMs: 20 }, clock),
      );
      lines.push(...found([page]));
      cursor = page.cursor;
      calls += 1;
      if (cursor !== undefined) expect(page.scan).toMatchObject({ complete: false, stopped: 'deadline' });
    } while (cursor !== undefined && calls < 100);
    expect(calls).toBeGreaterThan(2);
    expect(lines).toEqual(['/c/blocks.txt:40001', '/c/blocks.txt:70002']);
  });

  test('a walk over files that take no part meets its bounds too', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (let i = 0; i < 50; i++) plane.write(`/d/${i}.txt`, 'needle');
    plane.write('/d/z.log', 'needle');
    const results = await pages(plane, { path: '/d', pattern: 'needle', glob: '*.log' }, { entries: 10 });
    expect(results.map(({ scan }) => scan.stopped)).toEqual([...Array.from({ length: 5 }, () => 'entries'), undefined]);
    expect(found(results)).toEqual(['/d/z.log:1']);
  });

  test('the rest of a file comes from the generation that the first page showed', async () => {
    const plane = new MemoryPlane(new StillClock());
    plane.write('/f', 'needle 1\nneedle 2\nneedle 3\n');
    const first = await callVerb('grep', plane, { pattern: 'needle', limit: 1 }, testContext());
    plane.write('/f', 'nothing\n');
    const second = await callVerb('grep', plane, { pattern: 'needle', limit: 5, cursor: first.cursor }, testContext());
    expect(second.files[0]?.lines?.map((line) => line.text)).toEqual(['needle 2', 'needle 3']);
  });

  test('the last match that there is ends the search without a cursor', async () => {
    const plane = new MemoryPlane(new StillClock());
    plane.write('/f', 'needle\n');
    expect(await callVerb('grep', plane, { pattern: 'needle', limit: 1 }, testContext())).toMatchObject({
      matches: 1,
      scan: { complete: true },
    });
  });
});

test('a line without end is searched in pieces, within the bounds', async () => {
  const plane = new MemoryPlane(new StillClock());
  plane.write('/f', `${'x'.repeat(20_000_000)}needle${'y'.repeat(5_000_000)}\nneedle\n`);
  const results = await pages(plane, { pattern: 'needle' }, { searchBytes: 1_000_000 });
  expect(found(results)).toEqual(['/f:1', '/f:2']);
  expect(results.length).toBeGreaterThan(2);
});

describe('what is shown', () => {
  test('lines before a match are there wherever the body was cut', async () => {
    const plane = new MemoryPlane(new StillClock());
    const lines = Array.from({ length: 60_000 }, (_, i) => (i % 997 === 996 ? `needle ${i}` : `filler ${i}`));
    plane.write('/f', lines.join('\n'));
    for (const pattern of ['needle', 'n[e]+dle', ['needle', 'absent']]) {
      const results = await pages(plane, { pattern, before: 2, limit: 1000 });
      const shown = results.flatMap(({ files }) => files.flatMap((file) => (file.lines ?? []).map((line) => line.text)));
      expect(shown).toEqual(lines.filter((_, i) => i % 997 >= 994));
    }
  });

  test('a long line is cut around its match', async () => {
    const [page] = await pages(planted(), { path: '/c/long.txt', pattern: 'Error' });
    const [line] = page?.files[0]?.lines ?? [];
    expect(line).toMatchObject({ line: 1, clipped: true });
    expect(line?.text).toContain('yErrorz');
    expect(line?.text.length).toBeLessThanOrEqual(500);
  });

  test('binary files are counted', async () => {
    const [page] = await pages(planted(), { path: '/c/bin', pattern: 'Error' });
    expect(page?.scan).toMatchObject({ files: 2, binary: 2, complete: true });
    expect(found(page === undefined ? [] : [page])).toEqual(['/c/bin/late.bin:1']);
  });

  test('a predicate says which files take part', async () => {
    const results = await pages(planted(), { path: '/c', pattern: 'Error', where: 'extension = log' });
    expect(new Set(results.flatMap(({ files }) => files.map(({ path }) => path)))).toEqual(new Set(['/c/a/b/deep.log']));
  });

  test('symlinks are not followed, except where the search begins', async () => {
    const plane = planted();
    plane.symlink('/c/a/link.txt', 'two.txt');
    plane.symlink('/dir', 'c/a');
    expect(found(await pages(plane, { path: '/c/a', pattern: 'third' }))).toEqual(['/c/a/two.txt:3']);
    expect(found(await pages(plane, { path: '/c/a/link.txt', pattern: 'third' }))).toEqual(['/c/a/link.txt:3']);
    expect(found(await pages(plane, { path: '/dir', pattern: 'third' }))).toEqual(['/dir/two.txt:3']);
  });
});
