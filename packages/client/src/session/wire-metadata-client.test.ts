import type { Incarnation, WatchItem, WatchPathItem } from '@nokv/protocol';
import {
  NokvError,
  requestId,
  systemClock,
  systemRandom,
  version,
  wholeVersion,
  type ChangeCursor,
  type ChangeRecord,
  type DiffItem,
  type Version,
} from '@nokv/types';
import { afterEach, describe, expect, test } from 'vitest';
import { RequestIds } from '../request-ids.js';
import type { Connection } from '../wire/connection.js';
import { Link } from './link.js';
import { WireMetadataClient } from './wire-metadata-client.js';

type Call = { readonly operation: string; readonly args: unknown; readonly options: Record<string, unknown> };

/** A server by hand: what it answers to calls, and what each of its watches yields before it is cut. */
interface Script {
  readonly answer?: (call: Call, count: number) => unknown;
  readonly watches?: readonly (readonly (WatchItem | WatchPathItem)[])[];
  /** What each diff yields; one without an end is cut after its items. */
  readonly diffs?: readonly { readonly items: readonly DiffItem[]; readonly isCut?: boolean }[];
  /** Incarnations by connection; the last one stays. */
  readonly incarnations?: readonly Incarnation[];
}

const lost = () => new NokvError('connection-lost', 'cut', { outcome: 'unknown' });
let open: WireMetadataClient | undefined;

afterEach(async () => {
  await open?.close();
  open = undefined;
});

function client(script: Script) {
  const calls: Call[] = [];
  const watched: (Version | ChangeCursor | undefined)[] = [];
  const roots: Uint8Array[] = [];
  const left: number[] = [];
  let dials = 0;
  const dial = async (): Promise<Connection> => {
    const { incarnations = [{ id: 'only', opened: version(0) }] } = script;
    const incarnation = incarnations[Math.min(dials++, incarnations.length - 1)];
    let tellClosed: (error: NokvError) => void = () => undefined;
    const connection = {
      server: { incarnation },
      isDraining: false,
      draining: new Promise<void>(() => undefined),
      closed: new Promise<NokvError>((resolve) => (tellClosed = resolve)),
      call: async (operation: string, args: unknown, options: Record<string, unknown> = {}) => {
        calls.push({ operation, args, options });
        const answer = script.answer?.({ operation, args, options }, calls.length);
        if (answer instanceof Error) throw answer;
        return answer;
      },
      async *stream(
        operation: string,
        args: { readonly since?: Version | ChangeCursor; readonly root?: { readonly path: Uint8Array } },
        { signal }: { readonly signal: AbortSignal },
      ) {
        if (operation === 'diff') {
          const diff = script.diffs?.[calls.length];
          calls.push({ operation, args, options: { signal } });
          try {
            yield* diff?.items ?? [];
            if (diff?.isCut === true) throw lost();
          } finally {
            left.push(calls.length);
          }
          return;
        }
        const items = script.watches?.[watched.length];
        watched.push(args.since);
        if (args.root !== undefined) roots.push(Buffer.from(args.root.path));
        if (items === undefined) {
          await new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(new NokvError('cancelled', 'aborted')), { once: true }),
          );
          return;
        }
        yield* items;
        if (incarnations.length > 1) tellClosed(lost());
        throw lost();
      },
      close: async () => undefined,
    };
    return connection as unknown as Connection;
  };
  const link = new Link({ addresses: ['a:1'], dial, clock: systemClock, random: systemRandom });
  const requestIds = new RequestIds(systemClock, systemRandom);
  open = new WireMetadataClient({ link, actor: 'tester', timeoutMs: 2000, clock: systemClock, random: systemRandom, requestIds });
  return { metadata: open, calls, watched, roots, left };
}

const change = (at: number): ChangeRecord => ({
  version: version(at),
  ordinal: 0,
  kind: 'created',
  ino: 7 as never,
  type: 'file',
  requestId: `r${at}`,
  actor: 'tester',
  time: { sec: 0, nsec: 0 },
});

const position = (at: number, root: string): WatchPathItem => ({
  kind: 'position',
  root: { path: Buffer.from(root) },
  at: wholeVersion(version(at)),
});

const events = (at: number, ...versions: number[]): WatchPathItem => ({
  kind: 'events',
  events: versions.map(change),
  at: wholeVersion(version(at)),
});

const changes = (next: number, ...versions: number[]): WatchItem => ({
  kind: 'changes',
  changes: versions.map(change),
  next: version(next),
});
const durable = (at: number): WatchItem => ({ kind: 'durable', version: version(at) });

describe('mutations', () => {
  test('keep their request id, actor and first attempt over all attempts', async () => {
    const { metadata, calls } = client({ answer: (_, count) => (count < 3 ? lost() : { version: 5, result: { ino: 1 } }) });
    await metadata.mutate('rmdir', { entry: { path: Buffer.from('/x') } });
    expect(calls).toHaveLength(3);
    expect(new Set(calls.map(({ options }) => options['requestId'])).size).toBe(1);
    expect(new Set(calls.map(({ options }) => options['firstAttemptMs'])).size).toBe(1);
    expect(calls.map(({ options }) => options['actor'])).toEqual(['tester', 'tester', 'tester']);
  });

  test('that are sent again later say when they were first sent', async () => {
    const { metadata, calls } = client({ answer: () => ({ version: 5, result: { ino: 1 } }) });
    await metadata.mutate('rmdir', { entry: { path: Buffer.from('/x') } }, { requestId: requestId('again'), firstAttemptMs: 12_345 });
    expect(calls[0]?.options).toMatchObject({ requestId: 'again', firstAttemptMs: 12_345 });
  });

  test('that are durable raise the durable version, visible ones do not', async () => {
    const { metadata } = client({ answer: (_, count) => ({ version: count * 10, result: { ino: 1 } }), watches: [] });
    await metadata.mutate('rmdir', { entry: { path: Buffer.from('/x') } });
    expect(metadata.durableVersion).toBe(10);
    await metadata.mutate('rmdir', { entry: { path: Buffer.from('/y') } }, { acknowledgement: 'visible' });
    expect(metadata.durableVersion).toBe(10);
  });

  test('two calls never share a request id', async () => {
    const { metadata, calls } = client({ answer: () => ({ version: 1, result: { ino: 1 } }) });
    await Promise.all([1, 2].map(() => metadata.mutate('rmdir', { entry: { path: Buffer.from('/x') } })));
    expect(calls[0]?.options['requestId']).not.toBe(calls[1]?.options['requestId']);
  });
});

describe('a watch', () => {
  async function take(metadata: WireMetadataClient, count: number, since?: number): Promise<number[]> {
    const seen: number[] = [];
    for await (const batch of metadata.watch(since === undefined ? {} : { since: version(since) })) {
      seen.push(...batch.map((record) => record.version));
      if (seen.length >= count) break;
    }
    return seen;
  }

  test('resumes after the last item that it has seen', async () => {
    const { metadata, watched } = client({
      watches: [
        [durable(3), changes(5, 4, 5)],
        [durable(5), changes(9, 7, 9)],
        [durable(9), changes(10, 10)],
      ],
    });
    expect(await take(metadata, 5, 3)).toEqual([4, 5, 7, 9, 10]);
    expect(watched).toEqual([3, 5, 9]);
  });

  test('without a beginning resumes from where the server said it began', async () => {
    const { metadata, watched } = client({ watches: [[durable(40)], [durable(40), changes(41, 41)]] });
    expect(await take(metadata, 1)).toEqual([41]);
    expect(watched).toEqual([undefined, 40]);
  });

  test('does not move its place by announcements that pass it', async () => {
    const { metadata, watched } = client({
      watches: [
        [durable(1), changes(2, 2), durable(50)],
        [durable(2), changes(3, 3)],
      ],
    });
    expect(await take(metadata, 2, 1)).toEqual([2, 3]);
    expect(watched).toEqual([1, 2]);
  });

  test('of a cursor that is too old fails, and says so', async () => {
    const { metadata } = client({
      watches: [
        [
          {
            get kind(): never {
              throw new NokvError('cursor-too-old', 'rescan');
            },
          } as never,
        ],
      ],
    });
    await expect(take(metadata, 1, 1)).rejects.toMatchObject({ code: 'cursor-too-old' });
  });

  test('by path resumes after the last event or position, at the root that the server named', async () => {
    const { metadata, watched, roots } = client({
      watches: [
        [position(4, '/d'), events(6, 5, 6)],
        [position(6, '/d'), position(9, '/d')],
        [position(9, '/d'), events(10, 10)],
      ],
    });
    const seen: number[] = [];
    for await (const item of metadata.watchPath({ path: Buffer.from('/link') })) {
      if (item.kind === 'events') seen.push(...item.events.map((event) => event.version));
      if (seen.includes(10)) break;
    }
    expect(seen).toEqual([5, 6, 10]);
    expect(watched).toEqual([undefined, wholeVersion(version(6)), wholeVersion(version(9))]);
    expect(roots.map(String)).toEqual(['/link', '/d', '/d']);
  });

  test('ends without an error when its signal fires', async () => {
    const { metadata } = client({ watches: [] });
    const stop = new AbortController();
    const step = metadata.watch({ signal: stop.signal }).next();
    stop.abort();
    expect(await step).toMatchObject({ done: true });
  });
});

describe('a diff', () => {
  const item = (at: number): DiffItem => ({ rows: [], versions: { a: version(at), b: version(at) } });
  const args = { a: { node: { path: Buffer.from('/a') } }, b: { node: { path: Buffer.from('/b') } } };

  test('is asked again while nothing of it has come', async () => {
    const { metadata, calls } = client({ diffs: [{ items: [], isCut: true }, { items: [item(1), item(2)] }] });
    const seen: DiffItem[] = [];
    for await (const each of metadata.diff(args)) seen.push(each);
    expect(seen).toEqual([item(1), item(2)]);
    expect(calls.map((call) => call.args)).toEqual([args, args]);
  });

  test('that was cut in the middle fails instead of beginning again', async () => {
    const { metadata, calls } = client({ diffs: [{ items: [item(1)], isCut: true }, { items: [item(1)] }] });
    const seen: DiffItem[] = [];
    const all = (async () => {
      for await (const each of metadata.diff(args)) seen.push(each);
    })();
    await expect(all).rejects.toMatchObject({ code: 'connection-lost' });
    expect(seen).toEqual([item(1)]);
    expect(calls).toHaveLength(1);
  });

  test('that is left early ends the stream', async () => {
    const { metadata, left } = client({ diffs: [{ items: [item(1), item(2)] }] });
    for await (const each of metadata.diff(args)) {
      void each;
      break;
    }
    expect(left).toEqual([1]);
  });
});

describe('durable', () => {
  test('waits for the announcement that reaches the version', async () => {
    const { metadata } = client({ watches: [[durable(5), durable(8), changes(9, 9)]] });
    await metadata.durable(version(9));
    expect(metadata.durableVersion).toBeGreaterThanOrEqual(9);
  });

  test('goes on when the watch that it leaned on is left', async () => {
    const { metadata, watched } = client({ watches: [[durable(5), changes(6, 6)], [durable(9)]] });
    const watch = metadata.watch({ since: version(5) });
    await watch.next();
    const waiting = metadata.durable(version(9));
    await watch.return(undefined);
    await waiting;
    expect(watched).toEqual([5, undefined]);
  });

  test('fails when the server is another one before the version was announced, however high the new versions are', async () => {
    const second = { id: 'second', opened: version(1000) };
    const { metadata } = client({
      answer: () => ({ version: 7, result: { ino: 1 } }),
      incarnations: [{ id: 'first', opened: version(0) }, second],
      watches: [[durable(5)], [durable(5), durable(1001)]],
    });
    await metadata.mutate('rmdir', { entry: { path: Buffer.from('/x') } }, { acknowledgement: 'visible' });
    const lostVersion = { code: 'connection-lost', outcome: 'unknown', details: { version: 7 } };
    await expect(metadata.durable(version(7))).rejects.toMatchObject(lostVersion);
    await metadata.durable(version(1001));
    expect(metadata.durableVersion).toBeGreaterThan(7);
    await expect(metadata.durable(version(7))).rejects.toMatchObject(lostVersion);
    await metadata.durable(version(5));
  });

  test('gives up at its deadline', async () => {
    const { metadata } = client({ watches: [] });
    await expect(metadata.durable(version(5), { timeoutMs: 10 })).rejects.toMatchObject({ code: 'deadline-exceeded' });
  });
});
