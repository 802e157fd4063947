/** `find` and `aggregate` against a naive evaluator over the whole tree, on generated trees and queries. */
import { formatTimespec, timespecFromMs, timespecToMs } from '@nokv/types';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryPlane } from '../testing/memory-plane.js';
import { StillClock, testContext } from '../testing/context.js';
import { callVerb, type VerbInput } from '../verb-list.js';

const RUNS = 200;

interface Fact {
  readonly path: string;
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly mtime: string;
  readonly extension: string | null;
  readonly mode: string;
  readonly depth: number;
  readonly generation: number | null;
}
type Name = keyof Fact;
type Value = string | number | null;

const names = fc.constantFrom('a', 'b', 'B', 'a.log', 'b.json', 'é.log', 'run', 'z z', '.hidden', '\u{1f600}', '\uffee');
const paths = fc.array(names, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
const trees = fc.array(
  fc.record({
    path: paths,
    kind: fc.constantFrom('file', 'file', 'file', 'directory', 'symlink'),
    size: fc.nat({ max: 40 }),
    ageMs: fc.nat({ max: 5_000 }),
  }),
  { maxLength: 25 },
);

function plant(entries: readonly { path: string; kind: string; size: number; ageMs: number }[], clock: StillClock): MemoryPlane {
  const plane = new MemoryPlane(clock);
  for (const { path, kind, size, ageMs } of entries) {
    try {
      if (kind === 'directory') plane.mkdir(path);
      else if (kind === 'symlink') plane.symlink(path, 'a');
      else plane.write(path, 'x'.repeat(size), { mtime: timespecFromMs(clock.ms - ageMs), mode: size % 2 === 0 ? 0o644 : 0o600 });
    } catch {
      // A name is taken by another kind: the tree goes without it.
    }
  }
  return plane;
}

/** Everything below a path by plain recursion. */
async function factsBelow(plane: MemoryPlane, path: string, depth = 1): Promise<Fact[]> {
  const facts: Fact[] = [];
  const { entries } = await plane.list(path, { limit: 4096 });
  for (const { name, path: below, card } of entries) {
    const dot = name.lastIndexOf('.');
    facts.push({
      path: below,
      name,
      type: card.type,
      size: card.size,
      mtime: formatTimespec(card.mtime),
      extension: card.type !== 'directory' && dot > 0 && dot < name.length - 1 ? name.slice(dot + 1) : null,
      mode: card.mode.toString(8).padStart(4, '0'),
      depth,
      generation: card.type === 'file' ? card.generation : null,
    });
    if (card.type === 'directory') facts.push(...(await factsBelow(plane, below, depth + 1)));
  }
  return facts;
}

interface Term {
  readonly field: Name;
  readonly op: string;
  readonly value?: unknown;
  readonly ignoreCase?: boolean;
}
type Tree = Term | { readonly and: Tree[] } | { readonly or: Tree[] } | { readonly not: Tree };

const texts = fc.constantFrom('a', 'B', 'log', 'json', '.log', 'é', 'run', 'a.log', '\u{1f600}', '');
const sizes = fc.nat({ max: 45 });
const times = fc.nat({ max: 6_000 }).map((ageMs) => formatTimespec(timespecFromMs(Date.UTC(2026, 0, 10) - ageMs)));
const term: fc.Arbitrary<Term> = fc.oneof(
  fc.record({
    field: fc.constantFrom<Name>('name', 'path'),
    op: fc.constantFrom('eq', 'ne', 'prefix', 'suffix', 'contains', 'gt', 'gte', 'lt', 'lte'),
    value: texts,
    ignoreCase: fc.boolean(),
  }),
  fc.record({
    field: fc.constantFrom<Name>('size', 'depth', 'generation'),
    op: fc.constantFrom('eq', 'ne', 'gt', 'gte', 'lt', 'lte'),
    value: sizes,
  }),
  fc.record({
    field: fc.constantFrom<Name>('size', 'generation'),
    op: fc.constant('between'),
    value: fc.tuple(sizes, sizes).map(([a, b]) => [Math.min(a, b), Math.max(a, b)]),
  }),
  fc.record({ field: fc.constant<Name>('mtime'), op: fc.constantFrom('gt', 'gte', 'lt', 'lte', 'eq'), value: times }),
  fc.record({ field: fc.constant<Name>('type'), op: fc.constantFrom('eq', 'ne'), value: fc.constantFrom('file', 'directory', 'symlink') }),
  fc.record({ field: fc.constant<Name>('extension'), op: fc.constant('in'), value: fc.subarray(['log', 'json', 'txt'], { minLength: 1 }) }),
  fc.record({ field: fc.constantFrom<Name>('extension', 'generation'), op: fc.constant('exists'), value: fc.boolean() }),
  fc.record({ field: fc.constant<Name>('name'), op: fc.constant('regex'), value: fc.constantFrom('^a', 'log$', '[a-c]', '\\.', 'é|z') }),
);
const where: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    term,
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((and) => ({ and })),
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((or) => ({ or })),
    tie('tree').map((not) => ({ not })),
  ),
})).tree;

function holds(tree: Tree, fact: Fact): boolean {
  if ('and' in tree) return tree.and.every((part) => holds(part, fact));
  if ('or' in tree) return tree.or.some((part) => holds(part, fact));
  if ('not' in tree) return !holds(tree.not, fact);
  const { op, value, ignoreCase } = tree;
  const actual = fact[tree.field];
  if (op === 'exists') return (actual !== null) === value;
  if (op === 'ne') return !holds({ ...tree, op: 'eq' }, fact);
  if (actual === null) return false;
  const fold = (text: unknown): string => (ignoreCase === true ? String(text).toLowerCase() : String(text));
  if (op === 'in') return (value as unknown[]).includes(actual);
  if (op === 'between') return order(actual, (value as number[])[0] ?? 0) >= 0 && order(actual, (value as number[])[1] ?? 0) <= 0;
  if (op === 'regex') return new RegExp(String(value)).test(String(actual));
  if (op === 'prefix') return fold(actual).startsWith(fold(value));
  if (op === 'suffix') return fold(actual).endsWith(fold(value));
  if (op === 'contains') return fold(actual).includes(fold(value));
  const sign = typeof actual === 'string' ? order(fold(actual), fold(value)) : order(actual, value as number);
  return { eq: sign === 0, gt: sign > 0, gte: sign >= 0, lt: sign < 0, lte: sign <= 0 }[op] ?? false;
}

function order(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}

function inOrder(keys: readonly string[]) {
  return (a: Fact, b: Fact): number => {
    for (const key of keys) {
      const name = key.replace('-', '') as Name;
      const [left, right] = [a[name], b[name]];
      if (left === right) continue;
      if (left === null) return 1;
      if (right === null) return -1;
      const sign = order(left, right);
      if (sign !== 0) return key.startsWith('-') ? -sign : sign;
    }
    return inTreeOrder(a, b);
  };
}

function inTreeOrder(a: Fact, b: Fact): number {
  const [left, right] = [a.path.split('/'), b.path.split('/')];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const sign = order(left[i] ?? '', right[i] ?? '');
    if (sign !== 0) return sign;
  }
  return left.length - right.length;
}

const sorts = fc.array(fc.constantFrom('size', '-size', 'name', '-name', 'mtime', '-mtime', 'extension', '-generation', 'depth'), {
  maxLength: 3,
});

/** All pages of a query, with the count that the last one gave. */
async function pages(plane: MemoryPlane, input: VerbInput<'find'>, budget: { readonly entries?: number }, clock: StillClock) {
  const rows: Record<string, Value>[] = [];
  let cursor: string | undefined;
  for (let calls = 0; calls < 500; calls++) {
    const page = await callVerb('find', plane, cursor === undefined ? input : { ...input, cursor }, testContext(budget, clock));
    rows.push(...page.rows);
    cursor = page.cursor;
    if (cursor === undefined) return { rows, matched: page.matched, calls };
  }
  throw new Error('the cursor never ends');
}

describe('find', () => {
  test(`${RUNS} generated queries give the rows of a naive evaluator, in any page size`, async () => {
    await fc.assert(
      fc.asyncProperty(trees, where, sorts, fc.integer({ min: 1, max: 7 }), async (entries, predicate, sort, limit) => {
        const clock = new StillClock();
        const plane = plant(entries, clock);
        const expected = (await factsBelow(plane, '/')).filter((fact) => holds(predicate, fact)).toSorted(inOrder(sort));
        const fields = ['path', 'size', 'mtime', 'extension', 'mode', 'depth', 'generation'];
        const input = { where: predicate as Record<string, unknown>, fields, limit, ...(sort.length === 0 ? {} : { sort }) };
        const found = await pages(plane, input, {}, clock);
        expect(found.rows).toEqual(
          expected.map(({ path, size, mtime, extension, mode, depth, generation }) => ({
            path,
            size,
            mtime,
            extension,
            mode,
            depth,
            generation,
          })),
        );
        expect(found.matched).toBe(expected.length);
      }),
      { numRuns: RUNS },
    );
  });

  test('with a bound on entries the pages together still hold every row once', async () => {
    await fc.assert(
      fc.asyncProperty(
        trees,
        where,
        sorts,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        async (entries, predicate, sort, limit, entriesMax) => {
          const clock = new StillClock();
          const plane = plant(entries, clock);
          const expected = (await factsBelow(plane, '/')).filter((fact) => holds(predicate, fact));
          const input = { where: predicate as Record<string, unknown>, fields: ['path'], limit, ...(sort.length === 0 ? {} : { sort }) };
          const found = await pages(plane, input, { entries: entriesMax }, clock);
          expect(found.rows.map((row) => row.path).toSorted()).toEqual(expected.map((fact) => fact.path).toSorted());
          expect(found.matched).toBe(expected.length);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('the text form of a predicate means what the object form means', async () => {
    const clock = new StillClock();
    const plane = plant([], clock);
    plane.write('/runs/1/big.log', 'x'.repeat(5000), { mtime: timespecFromMs(clock.ms - 3_600_000) });
    plane.write('/runs/1/old.log', 'x', { mtime: timespecFromMs(clock.ms - 90_000_000) });
    plane.write('/runs/2/it is.txt', 'x');
    const find = async (text: string) =>
      (await callVerb('find', plane, { where: text, fields: ['name'] }, testContext({}, clock))).rows.map((row) => row.name);
    expect(await find('type = file and size > 4KiB')).toEqual(['big.log']);
    expect(await find('mtime > 24h and extension=log')).toEqual(['big.log']);
    expect(await find('mtime < 1d')).toEqual(['old.log']);
    expect(await find('name = "it is.txt" or name ~ "^old"')).toEqual(['old.log', 'it is.txt']);
    expect(await find('name =i "BIG.LOG"')).toEqual(['big.log']);
    expect(await find('name=info.txt')).toEqual([]);
    expect(await find('type=file and not (extension in (log, json))')).toEqual(['it is.txt']);
    expect(await find('extension exists and size between (0, 1)')).toEqual(['old.log', 'it is.txt']);
    expect(await find('extension = .log and mtime < 2026-01-09')).toEqual(['old.log']);
    expect(await find('mode = 644 and name suffix ".txt"')).toEqual(['it is.txt']);
    expect(await find('{"field": "name", "op": "prefix", "value": "it"}')).toEqual(['it is.txt']);
  });

  test.each([
    ['sise > 4', 'did you mean size'],
    ['size ~ "4"', 'operators: eq'],
    ['size approx 4', 'unknown operator'],
    ['size > big', 'is a number'],
    ['mtime > yesterday', 'RFC 3339'],
    ['type = dir', '"directory"'],
    ['type in (file, links)', 'symlink'],
    ['mode = rw', 'octal'],
    ['size > 1 name = a', 'expected "and"'],
    ['(size > 1', 'expected ")"'],
    ['size >', 'expected a value'],
    ['name', 'expected an operator'],
    ['and', 'expected an operator'],
    ['size between (5, 1)', 'low above high'],
    ['name ~ "("', 'never closed'],
    ['{"field": 1}', 'expected {field'],
    ['{"and": []}', 'at least one'],
    ['{"and": [{"field":"size","op":"gt","value":1}], "or": []}', 'stands alone'],
    ['{"field":"size","op":"gt","valeu":1}', 'unknown member'],
    ['{"field":"size","op":"gt","value":1,"ignoreCase":true}', 'only text has case'],
    ['', 'expected'],
    ['('.repeat(1000), 'nested'],
  ])('where %j is refused by name', async (text, hint) => {
    const plane = plant([], new StillClock());
    await expect(callVerb('find', plane, { where: text }, testContext())).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining(hint) as string,
    });
  });

  test('what does not exist is not found rather than empty', async () => {
    const plane = plant([], new StillClock());
    for (const verb of ['find', 'aggregate', 'catalog', 'ls', 'stat'] as const) {
      await expect(callVerb(verb, plane, { path: '/no/where' } as never, testContext())).rejects.toMatchObject({ code: 'not-found' });
    }
    await expect(callVerb('grep', plane, { path: '/no/where', pattern: 'x' }, testContext())).rejects.toMatchObject({ code: 'not-found' });
    await expect(callVerb('read', plane, { path: '/no/where' }, testContext())).rejects.toMatchObject({ code: 'not-found' });
  });

  test('content type, digest and link target are asked for only when needed', async () => {
    const plane = plant([], new StillClock());
    plane.write('/a.html', 'x', { contentType: 'text/html' });
    plane.write('/b.txt', 'x');
    plane.symlink('/link', 'b.txt');
    plane.calls.stat = 0;
    await callVerb('find', plane, { where: 'size > 0' }, testContext());
    expect(plane.calls.stat).toBe(1);
    const { rows } = await callVerb(
      'find',
      plane,
      { where: 'contentType = text/html or target exists', fields: ['name', 'target'] },
      testContext(),
    );
    expect(rows).toEqual([
      { name: 'a.html', target: null },
      { name: 'link', target: 'b.txt' },
    ]);
  });
});

describe('aggregate', () => {
  const metrics = fc.subarray(
    [
      'count',
      'sum(size)',
      'avg(size)',
      'min(size)',
      'max(size)',
      'p50(size)',
      'p90(size)',
      'distinct(extension)',
      'max(mtime)',
      'min(name)',
    ],
    { minLength: 1 },
  );
  const groupings = fc.subarray<Name>(['type', 'extension', 'depth', 'mode'], { maxLength: 2 });

  function naive(facts: readonly Fact[], metric: string): Value {
    const match = /^(\w+)(?:\((\w+)\))?$/.exec(metric);
    const values = facts.map((fact) => fact[(match?.[2] ?? 'name') as Name]).filter((value) => value !== null);
    const sorted = values.toSorted(order);
    switch (match?.[1]) {
      case 'count':
        return facts.length;
      case 'sum':
        return values.reduce<number>((sum, value) => sum + Number(value), 0);
      case 'avg':
        return values.length === 0 ? null : values.reduce<number>((sum, value) => sum + Number(value), 0) / values.length;
      case 'min':
        return sorted[0] ?? null;
      case 'max':
        return sorted.at(-1) ?? null;
      case 'distinct':
        return new Set(values).size;
      default: {
        if (sorted.length === 0) return null;
        const rank = ((sorted.length - 1) * Number(match?.[1]?.slice(1))) / 100;
        const [low, high] = [Number(sorted[Math.floor(rank)]), Number(sorted[Math.ceil(rank)])];
        return low + (high - low) * (rank - Math.floor(rank));
      }
    }
  }

  test(`${RUNS} generated queries give the figures of a naive evaluator`, async () => {
    await fc.assert(
      fc.asyncProperty(trees, where, groupings, metrics, fc.integer({ min: 1, max: 5 }), async (entries, predicate, by, wanted, limit) => {
        const clock = new StillClock();
        const plane = plant(entries, clock);
        const facts = (await factsBelow(plane, '/')).filter((fact) => holds(predicate, fact));
        const groups = new Map<string, Fact[]>(by.length === 0 ? [['[]', []]] : []);
        for (const fact of facts) {
          const key = JSON.stringify(by.map((name) => fact[name]));
          groups.set(key, [...(groups.get(key) ?? []), fact]);
        }
        const expected = [...groups].map(([key, members]) => {
          const values = JSON.parse(key) as Value[];
          return {
            ...Object.fromEntries(by.map((name, i) => [name, values[i] ?? null])),
            ...Object.fromEntries(wanted.map((metric) => [metric, naive(members, metric)])),
          };
        });
        const rows: Record<string, Value>[] = [];
        let cursor: string | undefined;
        do {
          const page = await callVerb(
            'aggregate',
            plane,
            { where: predicate as Record<string, unknown>, by, metrics: wanted, limit, ...(cursor === undefined ? {} : { cursor }) },
            testContext({}, clock),
          );
          expect(page).toMatchObject({ groups: expected.length, matched: facts.length, scan: { complete: true } });
          rows.push(...page.rows);
          cursor = page.cursor;
        } while (cursor !== undefined);
        const text = (row: unknown): string => JSON.stringify(row);
        expect(rows.map(text).toSorted()).toEqual(expected.map(text).toSorted());
      }),
      { numRuns: RUNS },
    );
  });

  test('lists may be written as one text', async () => {
    const plane = plant([], new StillClock());
    plane.write('/a.log', 'xx');
    expect(
      (await callVerb('aggregate', plane, { by: 'extension, type', metrics: 'count,sum(size)', sort: '-count,type' }, testContext())).rows,
    ).toEqual([{ extension: 'log', type: 'file', count: 1, 'sum(size)': 2 }]);
    expect((await callVerb('find', plane, { fields: 'name,size', sort: '-size' }, testContext())).rows).toEqual([
      { name: 'a.log', size: 2 },
    ]);
  });

  test('groups come sorted by any column', async () => {
    const plane = plant([], new StillClock());
    for (const [path, size] of [
      ['/a.log', 5],
      ['/b.log', 7],
      ['/c.txt', 100],
    ] as const)
      plane.write(path, 'x'.repeat(size));
    const sorted = async (sort: string) =>
      (await callVerb('aggregate', plane, { by: ['extension'], metrics: ['count', 'sum:size'], sort }, testContext())).rows.map(
        (row) => row.extension,
      );
    expect(await sorted('-count')).toEqual(['log', 'txt']);
    expect(await sorted('-sum(size)')).toEqual(['txt', 'log']);
    expect(await sorted('sum:size')).toEqual(['log', 'txt']);
    await expect(sorted('cuont')).rejects.toMatchObject({ message: expect.stringContaining('did you mean count') as string });
  });

  test('a part of the tree says that it is one, and the parts add up', async () => {
    const plane = plant([], new StillClock());
    for (let i = 0; i < 25; i++) plane.write(`/f${i}`, 'xx');
    const context = testContext({ entries: 10 });
    let cursor: string | undefined;
    const parts: unknown[] = [];
    let total = 0;
    do {
      const part = await callVerb('aggregate', plane, { metrics: ['sum(size)'], ...(cursor === undefined ? {} : { cursor }) }, context);
      parts.push([part.scan.complete, part.scan.entries, part.scan.stopped]);
      total += Number(part.rows[0]?.['sum(size)']);
      cursor = part.cursor;
    } while (cursor !== undefined);
    expect(parts).toEqual([
      [false, 10, 'entries'],
      [false, 10, 'entries'],
      [true, 5, undefined],
    ]);
    expect(total).toBe(50);
  });

  test('what has no value is counted as missing', async () => {
    const plane = plant([], new StillClock());
    plane.write('/d/a', 'xx');
    expect(await callVerb('aggregate', plane, { metrics: ['max(generation)', 'distinct(extension)'] }, testContext())).toMatchObject({
      matched: 2,
      missing: { generation: 1, extension: 2 },
    });
  });

  test.each([
    ['cuont', 'did you mean count'],
    ['sum', 'needs a field'],
    ['sum(name)', 'is text'],
    ['sum(mtime)', 'is a time'],
    ['p95(sise)', 'did you mean size'],
    ['p200(size)', 'unknown metric'],
  ])('metric %s is refused by name', async (metric, hint) => {
    const plane = plant([], new StillClock());
    await expect(callVerb('aggregate', plane, { metrics: [metric] }, testContext())).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining(hint) as string,
    });
  });
});

test('the still clock stands where the tests think it does', () => {
  expect(timespecToMs(new StillClock().now())).toBe(Date.UTC(2026, 0, 10));
});
