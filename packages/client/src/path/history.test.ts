import { NokvError, requestId, systemClock, systemRandom, type DiffItem, type PinInfo } from '@nokv/types';
import { describe, expect, test } from 'vitest';
import type { ClientContext } from '../client-context.js';
import { RequestIds } from '../request-ids.js';
import { PathClient } from './path-client.js';

type Call = { readonly operation: string; readonly args: Record<string, unknown>; readonly options: Record<string, unknown> };

/** A namespace by hand: it notes what it is asked and answers as the test says. */
function scripted(answer: (call: Call) => unknown, items: readonly DiffItem[] = []) {
  const calls: Call[] = [];
  let left = 0;
  const ask = async (operation: string, args: object, options: object = {}) => {
    const call = { operation, args: args as Record<string, unknown>, options: options as Record<string, unknown> };
    calls.push(call);
    const result = answer(call);
    if (result instanceof Error) throw result;
    return result;
  };
  const metadata = {
    read: ask,
    mutate: async (operation: string, args: object, options: object) => ({ version: 90, result: await ask(operation, args, options) }),
    async *diff(args: object) {
      calls.push({ operation: 'diff', args: args as Record<string, unknown>, options: {} });
      try {
        yield* items;
      } finally {
        left += 1;
      }
    },
  };
  const context = {
    metadata,
    owner: { uid: 7, gid: 8 },
    clock: systemClock,
    random: systemRandom,
    requestIds: new RequestIds(systemClock, systemRandom),
  } as unknown as ClientContext;
  return { client: new PathClient(context, async () => undefined), calls, leftDiffs: () => left };
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const pin = (id: number, name?: string): PinInfo =>
  ({
    id,
    kind: 'snapshot',
    root: 2,
    path: bytes('/a'),
    version: id,
    createdAt: { sec: 1, nsec: 0 },
    labels: [{ key: 'k', value: 'v' }],
    actor: 't',
    ...(name === undefined ? {} : { name }),
  }) as unknown as PinInfo;

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const item of items) seen.push(item);
  return seen;
}

describe('a moment', () => {
  test('goes along with every read of one call', async () => {
    const { client, calls } = scripted(() => ({ names: [], value: bytes(''), target: bytes('t'), path: bytes('/p') }));
    const at = { snapshot: 5 };
    await client.stat('/a', { at });
    await client.readlink('/a', { at });
    await client.getXattr('/a', 'user.k', { at });
    await client.listXattrs('/a', { at });
    await client.pathOf(3 as never, { at });
    expect(calls.map(({ operation, args }) => [operation, args['at']])).toEqual([
      ['stat', at],
      ['readlink', at],
      ['xattr-get', at],
      ['xattr-list', at],
      ['path-of', at],
    ]);
  });

  test('given as a date becomes a time', async () => {
    const { client, calls } = scripted(() => ({}));
    await client.stat('/a', { at: { time: new Date(1500) } });
    expect(calls[0]?.args['at']).toEqual({ time: { sec: 1, nsec: 500_000_000 } });
  });

  test.each([
    ['a tag to its pin', { tag: 'best' }, { snapshot: 12 }],
    ['a time to its version', { time: { sec: 1, nsec: 0 } }, { version: 40 }],
    ['a snapshot to itself', { snapshot: 3 }, { snapshot: 3 }],
  ])('is fixed before a listing of several pages: %s', async (_name, at, fixed) => {
    const page = (name: string, more: boolean) => ({ directory: 2, entries: [{ name: bytes(name), ino: 5, type: 'file' }], more });
    const { client, calls } = scripted(({ operation, args }) => {
      if (operation === 'pin') return pin(12, 'best');
      if (operation === 'version-at') return { version: 40 };
      return page(args['after'] === undefined ? 'a' : 'b', args['after'] === undefined);
    });
    expect((await all(client.list('/d', { at }))).map(({ name }) => name)).toEqual(['a', 'b']);
    const lists = calls.filter(({ operation }) => operation === 'list');
    expect(lists.map(({ args }) => args['at'])).toEqual([fixed, fixed]);
  });

  test('that is none is refused before anything is asked', async () => {
    const { client, calls } = scripted(() => ({}));
    await expect(client.stat('/a', { at: {} as never })).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(client.stat('/a', { at: { snapshot: -1 } })).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(calls).toEqual([]);
  });
});

describe('snapshots and tags', () => {
  test('are listed to the last page', async () => {
    const { client, calls } = scripted(({ args }) =>
      args['after'] === undefined ? { pins: [pin(1), pin(2)], more: true } : { pins: [pin(9)], more: false },
    );
    const pins = await all(client.snapshots.list({ path: '/a' }));
    expect(pins.map(({ id, path, labels }) => [id, path, labels])).toEqual([1, 2, 9].map((id) => [id, '/a', { k: 'v' }]));
    expect(calls.map(({ args }) => [args['kind'], args['after']])).toEqual([
      ['snapshot', undefined],
      ['snapshot', 2],
    ]);
  });

  test('send labels in the order of their bytes', async () => {
    const { client, calls } = scripted(() => ({ pin: pin(1) }));
    await client.snapshots.create('/a', { labels: { ｚ: '1', '😀': '2', a: '3' } });
    expect(calls[0]?.args).toMatchObject({
      ttlMs: 604_800_000,
      labels: [
        { key: 'a', value: '3' },
        { key: 'ｚ', value: '1' },
        { key: '😀', value: '2' },
      ],
    });
  });

  test('a move is the same move when it is asked again, wherever the tag is by then', async () => {
    let seen = 12;
    const { client, calls } = scripted(({ operation }) => (operation === 'pin' ? pin(seen) : { pin: pin(13) }));
    await client.tags.move('best', '/a', { at: { version: 7 }, requestId: requestId('mine') });
    seen = 13;
    await client.tags.move('best', '/a', { at: { version: 7 }, requestId: requestId('mine') });
    const [first, second] = calls.filter(({ operation }) => operation === 'tag-set');
    expect(second).toEqual(first);
    await client.tags.move('best', '/a', { ifPin: 13 });
    expect(calls.at(-1)?.args).toMatchObject({ name: 'best', ifPin: 13 });
  });

  test('a tag that is not there is not moved', async () => {
    const { client, calls } = scripted(() => new NokvError('not-found', 'no tag'));
    await expect(client.tags.move('best', '/a')).rejects.toMatchObject({ code: 'not-found' });
    expect(calls.map(({ operation }) => operation)).toEqual(['pin']);
  });
});

describe('prune', () => {
  const body = (path: string) => ({ ino: 3, path: bytes(path), generation: 4, ordinal: 1, bytes: 10 });
  const pages = ({ args }: Call) =>
    args['cursor'] === undefined ? { bodies: [body('/a/1')], cursor: bytes('c') } : { bodies: [body('/a/2')] };

  test('goes page by page, each under a request id of its own that the caller can derive', async () => {
    const { client, calls } = scripted(pages);
    expect((await all(client.prune('/a', { requestId: requestId('mine'), keepLast: 2 }))).map(({ path }) => path)).toEqual([
      '/a/1',
      '/a/2',
    ]);
    expect(calls.map(({ operation, options }) => [operation, options['requestId']])).toEqual([
      ['prune', 'mine'],
      ['prune', 'mine.p1'],
    ]);
  });

  test('asks the same of a dry run, and changes nothing', async () => {
    const real = scripted(pages);
    const dry = scripted(pages);
    const gone = await all(real.client.prune('/a', { keepLast: 2, keepMs: 5 }));
    expect(await all(dry.client.prune('/a', { keepLast: 2, keepMs: 5, dryRun: true }))).toEqual(gone);
    expect(dry.calls.map(({ operation, args }) => [operation, args])).toEqual(real.calls.map(({ args }) => ['prune-plan', args]));
  });
});

describe('diff', () => {
  const row = (path: string) => ({ kind: 'added' as const, path: bytes(path), attributes: [] });
  const items = [
    { rows: [row('a'), row('b')], versions: { a: 1, b: 2 } },
    { rows: [row('c')], versions: { a: 1, b: 2 } },
  ] as unknown as DiffItem[];

  test('gives rows one by one, each side with its moment', async () => {
    const { client, calls } = scripted(() => ({}), items);
    const rows = await all(client.diff('/x', { path: '/y', at: { tag: 't' } }));
    expect(rows.map(({ path }) => path)).toEqual(['a', 'b', 'c']);
    expect(calls[0]?.args).toEqual({ a: { node: { path: bytes('/x') } }, b: { node: { path: bytes('/y') }, at: { tag: 't' } } });
  });

  test('says where a node lay that is now inside a renamed directory', async () => {
    const directory = { ino: 5, type: 'directory', size: 0, mode: 0o755, generation: 0 };
    const file = { ...directory, ino: 6, type: 'file' };
    const changed = { attributes: [], a: file, b: file };
    const moves = [
      {
        rows: [
          { kind: 'renamed', path: bytes('new/in'), fromPath: bytes('öld'), attributes: [], a: directory, b: directory },
          { kind: 'renamed', path: bytes('new/in/deep'), fromPath: bytes('other'), attributes: [], a: directory, b: directory },
        ],
        versions: { a: 1, b: 2 },
      },
      {
        rows: [
          { kind: 'modified', path: bytes('new/in/é'), ...changed },
          { kind: 'modified', path: bytes('new/in/deep/x/y'), ...changed },
          { kind: 'modified', path: bytes('new/index'), ...changed },
          { kind: 'added', path: bytes('new/in/added'), attributes: [], b: file },
        ],
        versions: { a: 1, b: 2 },
      },
    ] as unknown as DiffItem[];
    const { client } = scripted(() => ({}), moves);
    expect((await all(client.diff('/x', '/y'))).map(({ path, fromPath }) => [path, fromPath])).toEqual([
      ['new/in', 'öld'],
      ['new/in/deep', 'other'],
      ['new/in/é', 'öld/é'],
      ['new/in/deep/x/y', 'other/x/y'],
      ['new/index', undefined],
      ['new/in/added', undefined],
    ]);
  });

  test('ends the work when the loop is left', async () => {
    const { client, leftDiffs } = scripted(() => ({}), items);
    for await (const row of client.diff('/x', '/y')) {
      expect(row.path).toBe('a');
      break;
    }
    expect(leftDiffs()).toBe(1);
  });
});
