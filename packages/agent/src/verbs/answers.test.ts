/** What holds for every verb: bounds, cursors, arguments, text beside structure. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatEvidence, parseEvidence } from '../evidence-uri.js';
import { inputJsonSchema, outputJsonSchema } from '../json-schema.js';
import { StillClock, testContext } from '../testing/context.js';
import { MemoryPlane } from '../testing/memory-plane.js';
import { VERBS, callVerb, runVerb } from '../verb-list.js';
import { VERB_NAMES, type VerbName } from '../verb.js';

const ANSWER_BYTES = 100_000;

/** Many files with long names, a wide file and a deep one: whatever is asked does not fit. */
function largePlane(): MemoryPlane {
  const plane = new MemoryPlane(new StillClock());
  for (let i = 0; i < 1500; i++)
    plane.write(`/wide/${String(i).padStart(4, '0')}-${'n'.repeat(200)}.ext${i}`, `needle ${'x'.repeat(400)}\n`.repeat(3));
  plane.write('/lines.txt', `needle "\\" ${'\u0001'.repeat(300)}\n`.repeat(20_000));
  return plane;
}

const LARGE: readonly (readonly [VerbName, Record<string, unknown>])[] = [
  ['ls', { path: '/wide', limit: 1000 }],
  ['stat', { path: '/lines.txt', lines: 50 }],
  ['catalog', { path: '/' }],
  ['find', { limit: 1000, fields: ['path', 'name', 'uri', 'digest', 'mtime'] }],
  ['find', { limit: 1000, sort: '-name', fields: ['path', 'name', 'uri'] }],
  ['aggregate', { by: ['name', 'path'], metrics: ['count', 'max(mtime)'], limit: 1000 }],
  ['read', { path: '/lines.txt', limit: 10_000 }],
  ['read', { path: '/lines.txt', tail: 10_000 }],
  ['read', { path: '/lines.txt', bytes: '0-' }],
  ['read', { path: '/lines.txt', bytes: '0-', encoding: 'base64' }],
  ['read', { path: Array.from({ length: 50 }, () => '/lines.txt') }],
  ['grep', { pattern: 'needle', limit: 1000 }],
  ['grep', { pattern: 'needle', limit: 1000, mode: 'count' }],
  ['grep', { pattern: 'needle', limit: 1000, mode: 'files' }],
  ['grep', { pattern: '"', context: 20, limit: 1000 }],
];

describe('bounds', () => {
  test.each(LARGE)('%s %j stays within 100 KB, as structure and as text, and says that it is cut', async (name, input) => {
    const { result, text } = await runVerb(name, largePlane(), input, testContext());
    expect(Buffer.byteLength(JSON.stringify(result))).toBeLessThanOrEqual(ANSWER_BYTES);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(ANSWER_BYTES);
    if (name !== 'catalog' && name !== 'stat') expect(text).toMatch(/more:|PARTIAL/);
  });

  test('too many cards are refused with a number that fits', async () => {
    const plane = largePlane();
    const paths = Array.from({ length: 100 }, (_, i) => `/wide/${String(i).padStart(4, '0')}-${'n'.repeat(200)}.ext${i}`);
    await expect(callVerb('stat', plane, { path: paths }, testContext({ answerBytes: 20_000 }))).rejects.toMatchObject({
      code: 'too-large',
    });
    expect((await callVerb('stat', plane, { path: paths }, testContext())).items).toHaveLength(100);
  });

  test('pages of ls hold every entry once while files are added before and after', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (let i = 10; i < 40; i++) plane.write(`/d/f${i}`, '');
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await callVerb('ls', plane, { path: '/d', limit: 7, ...(cursor === undefined ? {} : { cursor }) }, testContext());
      names.push(...page.entries.map((entry) => entry.name));
      plane.write(`/d/a${names.length}`, '');
      plane.write(`/d/z${names.length}`, '');
      cursor = page.cursor;
    } while (cursor !== undefined && names.length < 200);
    expect(names.filter((name) => name.startsWith('f'))).toEqual(Array.from({ length: 30 }, (_, i) => `f${i + 10}`));
    expect(new Set(names).size).toBe(names.length);
  });

  test('names cannot pass for lines of an answer', async () => {
    const plane = new MemoryPlane(new StillClock());
    const name = 'x\n/: 0 of 0 entries\tfile';
    plane.write(`/${name}/f`, 'needle');
    const calls: readonly (readonly [VerbName, Record<string, unknown>])[] = [
      ['ls', {}],
      ['ls', { path: `/${name}` }],
      ['stat', { path: `/${name}` }],
      ['stat', { path: [`/${name}`, `/${name}/none`] }],
      ['find', { path: `/${name}` }],
      ['aggregate', { path: `/${name}`, by: ['path'] }],
      ['catalog', { path: `/${name}` }],
      ['read', { path: `/${name}/f` }],
      ['grep', { pattern: 'needle' }],
    ];
    for (const [verb, input] of calls) expect((await runVerb(verb, plane, input, testContext())).text).not.toContain('\n/: 0 of');
  });

  test('ls does not look into the directories that it lists', async () => {
    const plane = largePlane();
    plane.calls.list = 0;
    const { entries } = await callVerb('ls', plane, {}, testContext());
    expect(entries).toMatchObject([{ name: 'lines.txt' }, { name: 'wide', children: 1500 }]);
    expect(plane.calls.list).toBe(1);
  });

  test('a scan stops at its deadline with what it has', async () => {
    const clock = new StillClock();
    const plane = new MemoryPlane(clock);
    for (let i = 0; i < 200; i++) plane.write(`/d${i}/f`, 'x');
    const list = plane.list.bind(plane);
    plane.list = (path, options) => {
      clock.ms += 10;
      return list(path, options);
    };
    const page = await callVerb('find', plane, { where: 'type = file', sort: 'path' }, testContext({ timeMs: 300 }, clock));
    expect(page.scan).toMatchObject({ complete: false, stopped: 'deadline' });
    expect(page.rows.length).toBeGreaterThan(5);
    expect(page.cursor).toBeDefined();
  });

  test('a signal ends every verb', async () => {
    const plane = largePlane();
    for (const [name, input] of LARGE) {
      await expect(runVerb(name, plane, input, { clock: new StillClock(), signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'cancelled',
      });
    }
  });
});

describe('cursors', () => {
  const paged: readonly (readonly [VerbName, Record<string, unknown>, Record<string, unknown>])[] = [
    ['ls', { path: '/wide', limit: 2 }, { path: '/', limit: 2 }],
    ['find', { where: 'type = file', limit: 2 }, { where: 'type = directory', limit: 2 }],
    ['find', { sort: 'name', limit: 2 }, { sort: '-name', limit: 2 }],
    ['aggregate', { by: ['name'], limit: 2 }, { by: ['path'], limit: 2 }],
    ['grep', { pattern: 'needle', limit: 2 }, { pattern: 'other', limit: 2 }],
  ];

  test.each(paged)('%s: one of another query is refused, by name', async (name, input, other) => {
    const plane = largePlane();
    const { result } = await runVerb(name, plane, input, testContext());
    await expect(runVerb(name, plane, { ...other, cursor: result.cursor }, testContext())).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { argument: 'cursor' },
      message: expect.stringContaining('another query') as string,
    });
  });

  test.each(paged)('%s: one with any byte changed is refused', async (name, input) => {
    const plane = largePlane();
    const { result } = await runVerb(name, plane, input, testContext());
    const cursor = String(result.cursor);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: cursor.length - 1 }), fc.constantFrom('A', 'b', '0', '_', '%', ''), async (at, char) => {
        const changed = cursor.slice(0, at) + char + cursor.slice(at + 1);
        fc.pre(changed !== cursor);
        await expect(runVerb(name, plane, { ...input, cursor: changed }, testContext())).rejects.toMatchObject({
          details: { argument: 'cursor' },
        });
      }),
      { numRuns: 30 },
    );
  });

  test('the page size may change from page to page', async () => {
    const plane = largePlane();
    const first = await callVerb('find', plane, { sort: 'name', fields: ['name'], limit: 2 }, testContext());
    const second = await callVerb('find', plane, { sort: 'name', fields: ['name'], limit: 5, cursor: first.cursor }, testContext());
    expect(second.rows).toHaveLength(5);
    expect(second.rows[0]).not.toEqual(first.rows[1]);
  });
});

describe('arguments', () => {
  test.each(VERB_NAMES)('%s refuses an unknown argument with the ones it has', async (name) => {
    const known = Object.keys(VERBS[name].input.shape);
    const wrong = `${known[0]}x`;
    await expect(runVerb(name, largePlane(), { [wrong]: 1 }, testContext())).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { verb: name, argument: wrong },
      message: expect.stringContaining(`did you mean ${known[0]}`) as string,
    });
  });

  test('500 generated calls answer or refuse with a typed error', async () => {
    const plane = largePlane();
    const value = fc.oneof(
      fc.constantFrom(
        '/',
        '/lines.txt',
        '/wide',
        '',
        'x',
        '..',
        '/../..',
        'nokv://',
        'nokv:///lines.txt@1#L1',
        '(',
        'a{99999}',
        'size > 1',
        '-',
        '\\xff',
        '\\',
        '\0',
        'n'.repeat(5000),
        'size',
        'count',
      ),
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.array(fc.constantFrom('/', 'x', 'name', 'count', 7), { maxLength: 3 }),
      fc.object({ key: fc.constantFrom('field', 'op', 'value', 'and', 'or', 'not', 'x'), maxDepth: 3 }),
    );
    const keys = [...new Set(VERB_NAMES.flatMap((name) => Object.keys(VERBS[name].input.shape)))];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...VERB_NAMES),
        fc.dictionary(fc.constantFrom(...keys, 'unknown'), value, { maxKeys: 4 }),
        async (name, input) => {
          try {
            await runVerb(name, plane, input, testContext({ entries: 50 }));
          } catch (error) {
            expect(error).toMatchObject({ name: 'NokvError', kind: expect.stringMatching(/^(invalid|not-found)$/) as string });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('catalog', () => {
  test('names each field with type, coverage, range and top values', async () => {
    const plane = new MemoryPlane(new StillClock());
    for (let i = 0; i < 10; i++) plane.write(`/runs/${i}/log.txt`, 'x'.repeat(i), { contentType: i < 7 ? 'text/plain' : 'text/x-log' });
    const { fields, operators, scan } = await callVerb('catalog', plane, { path: '/runs' }, testContext());
    const field = (name: string) => fields.find((each) => each.name === name);
    expect(scan).toEqual({ complete: true, entries: 20 });
    expect(field('size')).toMatchObject({ type: 'number', coverage: 1, min: 0, max: 9 });
    expect(field('extension')).toMatchObject({ coverage: 0.5, distinct: 1, top: [{ value: 'txt', count: 10 }] });
    expect(field('mtime')).toMatchObject({ type: 'time', min: '2026-01-10T00:00:00.000000000Z' });
    expect(field('contentType')).toMatchObject({
      coverage: 1,
      top: [
        { value: 'text/plain', count: 7 },
        { value: 'text/x-log', count: 3 },
      ],
    });
    expect(operators.number).toContain('between');
  });

  test('every field that it names can be asked about, and every operator works', async () => {
    const plane = new MemoryPlane(new StillClock());
    plane.write('/a.txt', 'x');
    const { fields, operators } = await callVerb('catalog', plane, {}, testContext());
    const samples: Readonly<Record<string, string | number>> = { string: 'file', number: 1, time: '2026-01-01' };
    for (const field of fields) {
      for (const op of operators[field.type]) {
        const one = field.name === 'mode' ? '0644' : (samples[field.type] ?? '');
        const value = op === 'in' ? [one] : op === 'between' ? [one, one] : op === 'exists' ? true : one;
        await callVerb('find', plane, { where: { field: field.name, op, value } }, testContext());
      }
      await callVerb('find', plane, { fields: [field.name], sort: `-${field.name}` }, testContext());
      await callVerb('aggregate', plane, { by: [field.name], metrics: [`min(${field.name})`, `distinct(${field.name})`] }, testContext());
    }
  });
});

test('evidence survives any path, generation and part', () => {
  const name = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 10 })
    .filter((text) => !/[/\0\\]/.test(text) && text !== '.' && text !== '..' && !/\p{Surrogate}/u.test(text));
  const part = fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 1e9 }), fc.nat({ max: 100 }))
      .map(([first, more]) => ({ kind: 'lines' as const, first, last: first + more })),
    fc.tuple(fc.nat({ max: 1e9 }), fc.nat({ max: 100 })).map(([first, more]) => ({ kind: 'bytes' as const, first, last: first + more })),
    name.map((text) => ({ kind: 'pointer' as const, pointer: `/${text}` })),
  );
  fc.assert(
    fc.property(
      fc.array(name, { maxLength: 4 }),
      fc.option(fc.nat(), { nil: undefined }),
      fc.option(part, { nil: undefined }),
      (names, generation, chosen) => {
        const evidence = {
          path: `/${names.join('/')}`,
          ...(generation === undefined ? {} : { generation }),
          ...(chosen === undefined ? {} : { part: chosen }),
        };
        expect(parseEvidence(formatEvidence(evidence))).toEqual(evidence);
      },
    ),
  );
});

test('published schemas hold every argument and every member of the first level', () => {
  for (const name of VERB_NAMES) {
    const input = inputJsonSchema(VERBS[name]);
    expect(input).toMatchObject({ type: 'object', additionalProperties: false });
    expect(Object.keys(input.properties as object)).toEqual(Object.keys(VERBS[name].input.shape));
    expect(Object.keys(outputJsonSchema(VERBS[name]).properties as object)).toEqual(Object.keys(VERBS[name].output.shape));
  }
});

test('answers have the shape that their schema promises', async () => {
  const plane = largePlane();
  for (const [name, input] of LARGE) {
    const { result } = await runVerb(name, plane, input, testContext());
    expect(VERBS[name].output.safeParse(result)).toMatchObject({ success: true });
  }
});
