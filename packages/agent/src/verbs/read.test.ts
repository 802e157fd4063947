import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Plane, PlaneBody } from '../plane.js';
import { testContext } from '../testing/context.js';
import { StillClock } from '../testing/context.js';
import { MemoryPlane } from '../testing/memory-plane.js';
import { callVerb, runVerb, type VerbInput } from '../verb-list.js';

function plane(): MemoryPlane {
  return new MemoryPlane(new StillClock());
}

async function readOne(from: Plane, input: VerbInput<'read'>, answerBytes?: number) {
  const { items } = await callVerb('read', from, input, testContext(answerBytes === undefined ? {} : { answerBytes }));
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error('expected one item');
  return item;
}

/** Lines as people count them: the last LF ends a line, it does not begin one. */
function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

const bodies = fc
  .array(fc.constantFrom('', 'a', 'bb', 'é€😀', 'x'.repeat(70), '\n', '\r'), { maxLength: 30 })
  .map((parts) => parts.join('\n'));

describe('lines', () => {
  test('any slice is the slice of all lines', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, fc.integer({ min: 1, max: 35 }), fc.integer({ min: 1, max: 10 }), async (body, offset, limit) => {
        const from = plane();
        from.write('/f', body);
        const all = linesOf(body);
        const asked = readOne(from, { path: '/f', offset, limit });
        if (offset > 1 && offset > all.length) {
          await expect(asked).rejects.toMatchObject({ code: 'invalid-argument' });
          return;
        }
        const item = await asked;
        expect(item.lines).toEqual(all.slice(offset - 1, offset - 1 + limit));
        expect(item.partial ?? false).toBe(offset - 1 + limit < all.length);
        if (item.partial !== true) expect(item.totalLines).toBe(all.length);
      }),
    );
  });

  test('any tail is the end of all lines', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, fc.integer({ min: 1, max: 10 }), async (body, tail) => {
        const from = plane();
        from.write('/f', body);
        expect((await readOne(from, { path: '/f', tail })).lines).toEqual(linesOf(body).slice(-tail));
      }),
    );
  });

  test('pages by the offset that the answer names hold every line once', async () => {
    const from = plane();
    const body = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'é'.repeat(i % 50)}`);
    from.write('/f', body.join('\n'));
    const seen: string[] = [];
    let offset = 1;
    for (;;) {
      const item = await readOne(from, { path: '/f', offset, limit: 10_000 }, 20_000);
      seen.push(...(item.lines ?? []));
      if (item.partial !== true) break;
      offset = Number(/^offset (\d+)$/.exec(item.next ?? '')?.[1]);
    }
    expect(seen).toEqual(body);
  });

  test('the tail of a 1 GiB log reads only its end', async () => {
    const size = 1024 ** 3;
    const line = `${'0123456789'.repeat(9)}abcdefghi\n`;
    let bytes = 0;
    let lowest = size;
    const huge: PlaneBody = {
      entry: { path: '/huge.log', name: 'huge.log', card: (await plane().stat('/')).card },
      generation: 1,
      size,
      async read(offset, length) {
        if (offset > 0) lowest = Math.min(lowest, offset);
        bytes += length;
        const shift = offset % line.length;
        return new TextEncoder().encode(line.repeat(Math.ceil((length + shift) / line.length)).slice(shift, shift + length));
      },
      // oxlint-disable-next-line require-yield -- reading from the beginning is what must not happen
      async *stream() {
        throw new Error('streamed from the beginning');
      },
    };
    const from: Plane = {
      open: async () => huge,
      stat: () => Promise.reject(new Error('unused')),
      list: () => Promise.reject(new Error('unused')),
    };
    const item = await readOne(from, { path: '/huge.log', tail: 20 });
    expect(item.lines).toHaveLength(20);
    expect(item.lines?.[3]).toBe(line.trimEnd());
    expect(bytes).toBeLessThanOrEqual(8192 + 64 * 1024);
    expect(lowest).toBeGreaterThan(size - 70_000);
  });

  test('a line that is too far for the deadline says how to come closer', async () => {
    const clock = new StillClock();
    const from = new MemoryPlane(clock);
    from.write('/f', 'a line\n'.repeat(100_000));
    const open = from.open.bind(from);
    from.open = async (path, options) => {
      const body = await open(path, options);
      return {
        ...body,
        async *stream(offset, streamOptions) {
          for await (const chunk of body.stream(offset, streamOptions)) {
            clock.ms += 100;
            yield chunk;
          }
        },
      };
    };
    const context = testContext({ timeMs: 450 }, clock);
    await expect(callVerb('read', from, { path: '/f', offset: 90_000 }, context)).rejects.toMatchObject({
      code: 'deadline-exceeded',
      details: { line: 37_450 },
    });
    const { items } = await callVerb('read', from, { path: '/f', offset: 37_000, limit: 10_000 }, context);
    expect(items[0]).toMatchObject({ partial: true, firstLine: 37_000, next: 'offset 37450' });
  });

  test('a long line is cut and said to be; its bytes can be read', async () => {
    const from = plane();
    from.write('/f', `short\n${'x'.repeat(500_000)}\nend`);
    const item = await readOne(from, { path: '/f' });
    expect(item.lines?.map((line) => line.length)).toEqual([5, 4000, 3]);
    expect(item.clipped).toEqual([2]);
    expect((await readOne(from, { path: '/f', tail: 2 })).clipped).toEqual([1]);
    expect((await readOne(from, { path: '/f', bytes: '6-60005' })).text).toBe('x'.repeat(60_000));
  });

  test('bytes that are no UTF-8 are shown as such and said to be', async () => {
    const from = plane();
    from.write('/f', Uint8Array.of(0x61, 0xff, 0x62, 10));
    expect(await readOne(from, { path: '/f' })).toMatchObject({ lines: ['a\ufffdb'], lossy: true });
    from.write('/g', 'really \ufffd\n');
    expect((await readOne(from, { path: '/g' })).lossy).toBeUndefined();
  });

  test('an empty file has no lines', async () => {
    const from = plane();
    from.write('/f', '');
    expect(await readOne(from, { path: '/f' })).toMatchObject({ lines: [], totalLines: 0 });
    expect(await readOne(from, { path: '/f', tail: 3 })).toMatchObject({ lines: [] });
  });
});

describe('bytes', () => {
  test.each([
    ['0-4', 'hello'],
    ['6-', 'wörld'],
    ['-3', 'rld'],
    ['0-1000', 'hello wörld'],
  ])('%s', async (bytes, text) => {
    const from = plane();
    from.write('/f', 'hello wörld');
    expect((await readOne(from, { path: '/f', bytes })).text).toBe(text);
  });

  test('64 KiB of binary come back as base64 in one call', async () => {
    const from = plane();
    const body = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
    from.write('/f', body);
    const item = await readOne(from, { path: '/f', bytes: '0-65535' });
    expect(item).toMatchObject({ encoding: 'base64', firstByte: 0, lastByte: 65_535 });
    expect(Buffer.from(item.base64 ?? '', 'base64').equals(body.subarray(0, 65_536))).toBe(true);
    expect(item.partial).toBeUndefined();
  });

  test('what does not fit goes on where the answer says, at whole characters', async () => {
    const from = plane();
    const body = 'aé€😀'.repeat(20_000);
    from.write('/f', body);
    let bytes = '0-';
    let text = '';
    for (;;) {
      const item = await readOne(from, { path: '/f', bytes });
      text += item.text ?? '';
      if (item.partial !== true) break;
      bytes = /"(.*)"/.exec(item.next ?? '')?.[1] ?? '';
    }
    expect(text).toBe(body);
  });

  test('a range can be forced to base64 or to text', async () => {
    const from = plane();
    from.write('/f', 'text');
    expect(await readOne(from, { path: '/f', bytes: '0-3', encoding: 'base64' })).toMatchObject({ base64: 'dGV4dA==' });
    from.write('/f', Uint8Array.of(0x61, 0xff));
    expect(await readOne(from, { path: '/f', bytes: '0-3', encoding: 'text' })).toMatchObject({ text: 'a\ufffd', lossy: true });
  });

  test.each(['x', '-', '5-2', '99-100', '1-2-3'])('the range %j is refused', async (bytes) => {
    const from = plane();
    from.write('/f', 'hello');
    await expect(readOne(from, { path: '/f', bytes })).rejects.toMatchObject({ code: 'invalid-argument', details: { argument: 'bytes' } });
  });
});

describe('pointers', () => {
  const json = '{"a": [1, {"b": "x"}], "we/ird~": NaN, "text": "NaN stays", "big": [-Infinity]}';

  test.each([
    ['/a/0', 1],
    ['/a/1/b', 'x'],
    ['/we~1ird~0', 'NaN'],
    ['/text', 'NaN stays'],
    ['/big', ['-Infinity']],
  ])('%s', async (pointer, value) => {
    const from = plane();
    from.write('/f.json', json);
    expect(await readOne(from, { path: '/f.json', pointer })).toMatchObject({ value, view: 'json' });
  });

  test.each([
    ['/txet', 'did you mean text'],
    ['/a/7', 'list of 2'],
    ['/a/0/x', 'a number'],
  ])('%s is not found, with what is near', async (pointer, hint) => {
    const from = plane();
    from.write('/f.json', json);
    await expect(readOne(from, { path: '/f.json', pointer })).rejects.toMatchObject({
      kind: 'not-found',
      message: expect.stringContaining(hint) as string,
    });
  });

  test('a value that does not fit comes as an outline', async () => {
    const from = plane();
    from.write('/f.json', JSON.stringify({ list: Array.from({ length: 50_000 }, (_, i) => i), name: 'n' }));
    expect(await readOne(from, { path: '/f.json', pointer: '' })).toMatchObject({
      partial: true,
      value: { members: 2, first: { list: 'list of 50000', name: 'string' } },
    });
  });

  test('what is no JSON is said to be none', async () => {
    const from = plane();
    from.write('/f.txt', 'hello');
    await expect(readOne(from, { path: '/f.txt', pointer: '/a' })).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('evidence', () => {
  test.each([{ offset: 2, limit: 2 }, { tail: 1 }, { bytes: '3-7' }, { bytes: '2-5', encoding: 'base64' as const }])(
    'the uri of %j gives the same after the file changed',
    async (how) => {
      const from = plane();
      from.write('/odd @#%.txt', 'one\ntwo\nthree\nfour\n');
      const cited = await readOne(from, { path: '/odd @#%.txt', ...how });
      from.write('/odd @#%.txt', 'something else\n'.repeat(100));
      const again = await readOne(from, { path: cited.uri ?? '' });
      const content = (item: typeof cited): string =>
        item.base64 === undefined ? (item.text ?? (item.lines ?? []).join('\n')) : Buffer.from(item.base64, 'base64').toString();
      expect(content(again).trimEnd()).toBe(content(cited).trimEnd());
      expect(again.generation).toBe(cited.generation);
    },
  );

  test('a pointer is citable too', async () => {
    const from = plane();
    from.write('/f.json', '{"a b": {"#": 7}}');
    const cited = await readOne(from, { path: '/f.json', pointer: '/a b/#' });
    from.write('/f.json', '{}');
    expect(await readOne(from, { path: cited.uri ?? '' })).toMatchObject({ value: 7 });
  });

  test.each(['nokv:///f@x', 'nokv:///f@1#L0', 'nokv:///f@1#L5-L2', 'nokv:///f@1#oops', 'nokv:///%zz'])('%s is refused', async (path) => {
    const from = plane();
    from.write('/f', 'x');
    await expect(readOne(from, { path })).rejects.toMatchObject({ kind: 'invalid' });
  });

  test('a part in the uri and one in the arguments contradict each other', async () => {
    const from = plane();
    from.write('/f', 'x');
    await expect(readOne(from, { path: 'nokv:///f@1#L1', tail: 3 })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('several paths', () => {
  test('each has its part or its error, all within one answer', async () => {
    const from = plane();
    const paths = Array.from({ length: 20 }, (_, i) => `/f${i}`);
    for (const path of paths) from.write(path, 'some line\n'.repeat(2000));
    const { result, text } = await runVerb('read', from, { path: [...paths, '/none'] }, testContext({ answerBytes: 40_000 }));
    const { items } = result as { items: { path: string; partial?: boolean; error?: { code: string } }[] };
    expect(items).toHaveLength(21);
    expect(items.at(-1)).toMatchObject({ error: { code: 'not-found' } });
    expect(items.slice(0, -1).every((item) => item.partial === true)).toBe(true);
    expect(JSON.stringify(result).length).toBeLessThanOrEqual(40_000);
    expect(text).toContain('PARTIAL');
  });

  test('two ways to say which part are refused', async () => {
    const from = plane();
    from.write('/f', 'x');
    await expect(readOne(from, { path: '/f', head: 2, tail: 2 })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(readOne(from, { path: '/f', offset: 2, bytes: '0-1' })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(readOne(from, { path: '/f', encoding: 'text' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

test('stat reads no body', async () => {
  const from = plane();
  from.write('/f', 'x'.repeat(100_000));
  await callVerb('stat', from, { path: ['/f', '/'] }, testContext());
  expect([from.calls.open, from.bytesRead]).toEqual([0, 0]);
});
