/** What every plane must do. Run it with a fresh, writable namespace: `planeConformance('memory', setup)`. */
import { NokvError, type ErrorCode, type ErrorKind } from '@nokv/types';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Plane } from '../plane.js';

export interface PlaneFixture {
  readonly plane: Plane;
  /** A directory that exists, is empty and belongs to this run: `/` or any other path without a final slash. */
  readonly base: string;
  /** Makes one directory (its parent exists). */
  mkdir(path: string): Promise<void>;
  /** Creates or replaces a file and returns the generation that this made. */
  write(path: string, body: Uint8Array, options?: { readonly contentType?: string; readonly mode?: number }): Promise<number>;
  symlink(path: string, target: string): Promise<void>;
  remove(path: string): Promise<void>;
  close?(): Promise<void>;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function failure(work: Promise<unknown>): Promise<NokvError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof NokvError) return error;
    throw error;
  }
  throw new Error('expected a NokvError, but the call succeeded');
}

async function expectCode(work: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  expect(codes).toContain((await failure(work)).code);
}

async function expectKind(work: Promise<unknown>, kind: ErrorKind): Promise<void> {
  expect((await failure(work)).kind).toBe(kind);
}

/** Reproducible bytes that no short period repeats. */
function patternBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function planeConformance(name: string, setup: () => Promise<PlaneFixture>): void {
  describe(`plane: ${name}`, () => {
    let fixture: PlaneFixture;
    let plane: Plane;
    const at = (path: string): string => `${fixture.base === '/' ? '' : fixture.base}/${path}`;

    beforeAll(async () => {
      fixture = await setup();
      plane = fixture.plane;
    });

    afterAll(async () => {
      await fixture?.close?.();
    });

    describe('stat', () => {
      test('the root is a directory with an empty name', async () => {
        const root = await plane.stat('/');
        expect(root).toMatchObject({ path: '/', name: '' });
        expect(root.card.type).toBe('directory');
      });

      test('a file shows size, mode, content type and a generation that rises with each body', async () => {
        const first = await fixture.write(at('card.txt'), text('one'), { contentType: 'text/plain', mode: 0o640 });
        const card = (await plane.stat(at('card.txt'))).card;
        expect(card).toMatchObject({
          type: 'file',
          size: 3,
          mode: 0o640,
          contentType: 'text/plain',
          generation: first,
          ordinal: 1,
          inline: true,
        });
        expect(card.xattrs).toEqual([]);
        const second = await fixture.write(at('card.txt'), text('three'));
        expect(second).toBeGreaterThan(first);
        expect((await plane.stat(at('card.txt'))).card).toMatchObject({ size: 5, generation: second, ordinal: 2 });
      });

      test('the path comes back in normal form', async () => {
        await fixture.mkdir(at('normal'));
        await fixture.write(at('normal/a'), text('a'));
        expect(await plane.stat(`${at('normal')}/.//../normal/a`)).toMatchObject({ path: at('normal/a'), name: 'a' });
      });

      test('what does not exist is not found, and a file has nothing below it', async () => {
        await fixture.write(at('leaf'), text('x'));
        await expectCode(plane.stat(at('missing')), 'not-found');
        await expectCode(plane.stat(at('missing/below')), 'not-found');
        await expectCode(plane.stat(at('leaf/below')), 'not-directory');
      });

      test('what is no path is refused', async () => {
        await expectKind(plane.stat('relative'), 'invalid');
        await expectKind(plane.stat(''), 'invalid');
        await expectKind(plane.stat('/..'), 'invalid');
        await expectKind(plane.stat(`/${'n'.repeat(256)}`), 'invalid');
        await expectKind(plane.stat(`/${'p/'.repeat(2100)}`), 'invalid');
      });

      test('symlinks are followed or shown as asked; dangling ones and loops fail', async () => {
        await fixture.mkdir(at('links'));
        await fixture.mkdir(at('links/dir'));
        await fixture.write(at('links/dir/file'), text('through'));
        await fixture.symlink(at('links/to-file'), 'dir/file');
        await fixture.symlink(at('links/to-dir'), at('links/dir'));
        await fixture.symlink(at('links/up'), '../links/dir');
        await fixture.symlink(at('links/dangling'), 'nowhere');
        await fixture.symlink(at('links/loop'), 'loop');

        expect((await plane.stat(at('links/to-file'))).card).toMatchObject({ type: 'file', size: 7 });
        const link = await plane.stat(at('links/to-file'), { follow: false });
        expect(link.card.type).toBe('symlink');
        expect(link.path).toBe(at('links/to-file'));
        expect(new TextDecoder().decode(link.card.target)).toBe('dir/file');
        expect((await plane.stat(at('links/to-dir/file'), { follow: false })).card.size).toBe(7);
        expect((await plane.stat(at('links/up/file'))).card.size).toBe(7);
        expect((await plane.list(at('links/to-dir'), { limit: 10 })).entries.map((entry) => entry.name)).toEqual(['file']);
        expect(new TextDecoder().decode(await (await plane.open(at('links/to-file'))).read(0, 100))).toBe('through');
        await expectCode(plane.stat(at('links/dangling')), 'not-found');
        await expectCode(plane.open(at('links/dangling')), 'not-found');
        await expectCode(plane.stat(at('links/loop')), 'symlink-loop');
        expect((await plane.stat(at('links/dangling'), { follow: false })).card.type).toBe('symlink');
      });
    });

    describe('list', () => {
      test('entries come in byte order of names, page by page, with attributes and paths', async () => {
        await fixture.mkdir(at('many'));
        const names = ['Z', 'a', 'a b', 'b', 'é', '\u{1f600}', 'z', '\uffee'];
        for (const entry of names) await fixture.write(at(`many/${entry}`), text(entry));
        const expected = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

        const seen: string[] = [];
        let after: string | undefined;
        for (let pages = 0; pages < 10; pages++) {
          const page = await plane.list(at('many'), after === undefined ? { limit: 3 } : { limit: 3, after });
          expect(page.entries.length).toBeLessThanOrEqual(3);
          for (const entry of page.entries) {
            expect(entry.path).toBe(at(`many/${entry.name}`));
            expect(entry.card.size).toBe(text(entry.name).length);
          }
          seen.push(...page.entries.map((entry) => entry.name));
          after = page.entries.at(-1)?.name;
          if (!page.more) break;
        }
        expect(seen).toEqual(expected);
      });

      test('a full last page says that nothing follows', async () => {
        await fixture.mkdir(at('two'));
        await fixture.write(at('two/a'), text(''));
        await fixture.write(at('two/b'), text(''));
        expect((await plane.list(at('two'), { limit: 2 })).more).toBe(false);
        expect(await plane.list(at('two'), { limit: 2, after: 'b' })).toEqual({ entries: [], more: false });
        expect((await plane.list(at('two'), { limit: 1 })).more).toBe(true);
      });

      test('a page begins after a name that is not there any more', async () => {
        await fixture.mkdir(at('gone'));
        for (const entry of ['a', 'b', 'c']) await fixture.write(at(`gone/${entry}`), text(''));
        await fixture.remove(at('gone/b'));
        expect((await plane.list(at('gone'), { limit: 10, after: 'b' })).entries.map((entry) => entry.name)).toEqual(['c']);
      });

      test('names that are not UTF-8 and names with a backslash survive', async () => {
        await fixture.mkdir(at('odd'));
        for (const entry of ['\\xff\\xfe', 'back\\\\slash', 'new\nline']) await fixture.write(at(`odd/${entry}`), text('odd'));
        const page = await plane.list(at('odd'), { limit: 10 });
        expect(page.entries.map((entry) => entry.name)).toEqual(['back\\\\slash', 'new\nline', '\\xff\\xfe']);
        for (const entry of page.entries) expect((await plane.stat(entry.path)).card.size).toBe(3);
        expect((await plane.list(at('odd'), { limit: 10, after: 'new\nline' })).entries.map((entry) => entry.name)).toEqual(['\\xff\\xfe']);
      });

      test('symlinks are listed as such, directories with their number of children', async () => {
        await fixture.mkdir(at('kinds'));
        await fixture.mkdir(at('kinds/dir'));
        await fixture.write(at('kinds/dir/1'), text('1'));
        await fixture.write(at('kinds/dir/2'), text('2'));
        await fixture.symlink(at('kinds/link'), 'dir');
        const { entries } = await plane.list(at('kinds'), { limit: 10 });
        expect(entries.map((entry) => [entry.name, entry.card.type, entry.card.children])).toEqual([
          ['dir', 'directory', 2],
          ['link', 'symlink', 0],
        ]);
      });

      test('an empty directory is empty; a file and nothing are no directories', async () => {
        await fixture.mkdir(at('empty'));
        expect(await plane.list(at('empty'), { limit: 10 })).toEqual({ entries: [], more: false });
        await fixture.write(at('plain'), text('x'));
        await expectCode(plane.list(at('plain'), { limit: 10 }), 'not-directory');
        await expectCode(plane.list(at('nothing'), { limit: 10 }), 'not-found');
      });
    });

    describe('open', () => {
      // Inline, one block, and more than one block of 4 MiB.
      test.each([0, 10, 20_000, 9_000_000])('a body of %i bytes reads back by range and by stream', async (length) => {
        const body = patternBytes(length);
        const path = at(`body-${length}`);
        const generation = await fixture.write(path, body);
        const opened = await plane.open(path);
        expect(opened).toMatchObject({ size: length, generation });
        expect(opened.entry.path).toBe(path);
        expect(opened.entry.card.size).toBe(length);
        for (const [offset, count] of [
          [0, 1],
          [0, 100_000],
          [length - 5, 100],
          [4_194_300, 10],
          [length, 10],
          [length + 10, 10],
        ] as const) {
          if (offset < 0) continue;
          expect(Buffer.from(await opened.read(offset, count)).equals(body.subarray(offset, offset + count))).toBe(true);
        }
        for (const offset of [0, Math.max(0, length - 3), length]) {
          const chunks: Uint8Array[] = [];
          for await (const chunk of opened.stream(offset)) chunks.push(chunk.slice());
          expect(Buffer.concat(chunks).equals(body.subarray(offset))).toBe(true);
        }
      });

      test('a stream can be left in the middle', async () => {
        await fixture.write(at('leave'), patternBytes(5_000_000));
        const body = await plane.open(at('leave'));
        let taken = 0;
        for await (const chunk of body.stream(0)) {
          taken += chunk.length;
          break;
        }
        expect(taken).toBeGreaterThan(0);
        expect((await body.read(0, 10)).length).toBe(10);
      });

      test('an opened body stays at its generation while the path moves on', async () => {
        await fixture.write(at('pinned'), text('old body'));
        const before = await plane.open(at('pinned'));
        await fixture.write(at('pinned'), text('new'));
        expect(new TextDecoder().decode(await before.read(0, 100))).toBe('old body');
        expect(new TextDecoder().decode(await (await plane.open(at('pinned'))).read(0, 100))).toBe('new');
      });

      test('an older generation opens by number; one that never was is not found', async () => {
        const first = await fixture.write(at('history'), text('first'));
        const second = await fixture.write(at('history'), text('second!'));
        const old = await plane.open(at('history'), { generation: first });
        expect(old).toMatchObject({ generation: first, size: 5 });
        expect(new TextDecoder().decode(await old.read(0, 100))).toBe('first');
        expect((await plane.open(at('history'), { generation: second })).size).toBe(7);
        await expectKind(plane.open(at('history'), { generation: second + 1_000_000 }), 'not-found');
      });

      test('a directory has no body', async () => {
        await fixture.mkdir(at('folder'));
        await expectCode(plane.open(at('folder')), 'is-directory', 'not-regular-file');
        await expectCode(plane.open(at('absent')), 'not-found');
      });
    });

    test('a signal that fired before the call cancels it', async () => {
      await fixture.write(at('signal'), text('x'));
      const signal = AbortSignal.abort();
      await expectCode(plane.stat(at('signal'), { signal }), 'cancelled');
      await expectCode(plane.list('/', { limit: 1, signal }), 'cancelled');
      await expectCode(plane.open(at('signal'), { signal }), 'cancelled');
    });
  });
}
