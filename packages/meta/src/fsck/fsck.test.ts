/** Each kind of damage is done once to a sound shard; the check finds and names it, mends what is safe, and is silent then. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  FSCK_CLASSES,
  blockKey,
  makeUploadId,
  type FsckClass,
  type FsckFinding,
  type FsckItem,
  type Generation,
  type InodeNumber,
  type SessionId,
  type UploadId,
  type Version,
} from '@nokv/types';
import {
  FAMILY,
  SYSTEM_ITEM,
  bodyKey,
  changeKey,
  countersKey,
  dentryKey,
  extentKey,
  familyEnd,
  familyStart,
  inodeKey,
  linkKey,
  lockKey,
  requestKey,
  systemKey,
  uploadKey,
  xattrKey,
} from '../key.js';
import { localSink } from '../durability-sink.js';
import { openLmdbKv } from '../lmdb-kv.js';
import { MemoryKv } from '../memory-kv.js';
import type { KvWrite } from '../ordered-kv.js';
import { contradictions } from '../testing/check-rows.js';
import { runLoad } from '../testing/random-load.js';
import { OWNER, RunningClock, TestShard, at } from '../testing/test-shard.js';
import { decodeBody, decodeExtent, encodeBody, encodeExtent, encodeXattr } from '../value-body.js';
import { decodeDentry, decodeInode, encodeDentry, encodeInode, encodeLink, type Inode } from '../value-inode.js';
import { encodeCounters, encodeProgress, decodeProgress } from '../value-log.js';
import { encodeFork, encodePolicy } from '../value-pin.js';
import type { BlockInventory } from './block-inventory.js';
import type { FsckOptions } from './fsck.js';

const SESSION_ID = 'cd'.repeat(16) as SessionId;
const REPORT: FsckOptions = { repair: 'none', checksums: false };
const bytes = (text: string): Buffer => Buffer.from(text);

interface Sound {
  readonly kv: MemoryKv;
  readonly ino: (path: string) => InodeNumber;
  readonly inode: (path: string) => Inode;
  readonly upload: UploadId;
  readonly openUpload: UploadId;
}

const PATHS = ['/', '/a', '/a/file', '/a/sub', '/a/sub/deep', '/one', '/a/two', '/a/link', '/big'];

/** A small tree with one of everything. */
async function soundShard(): Promise<Sound> {
  const first = await TestShard.open(new MemoryKv());
  await first.mkdir('/a/sub/deep', true);
  await first.put('/a/file', 'first');
  await first.put('/a/file', 'second');
  await first.do('xattr-set', { node: at('/a/file'), name: bytes('user.k'), value: bytes('v'), mode: 'set' });
  await first.put('/one', 'shared');
  await first.do('link', { node: at('/one'), entry: at('/a/two') });
  await first.do('symlink', { entry: at('/a/link'), target: bytes('file'), ...OWNER });
  const { result } = await first.do('begin-upload', { target: '/big', ttlMs: 60_000 });
  const { upload } = result;
  const piece = { upload, index: 0, offset: 0, length: 100, crc32c: 7, skip: 0, take: 100 };
  const body = { kind: 'blocks', manifest: { size: 100, extents: [piece] } } as const;
  await first.do('publish', { node: at('/big'), body, upload, mode: 0o644, ...OWNER });
  const open = await first.do('begin-upload', { target: '/later', ttlMs: 60_000 });
  const cards = new Map<string, InodeNumber>();
  for (const path of PATHS) cards.set(path, (await first.stat(path, false)).ino);
  await first.engine.close();
  const kv = (first.kv as MemoryKv).powerCut();
  const ino = (path: string): InodeNumber => cards.get(path) as InodeNumber;
  const inode = (path: string): Inode => decodeInode(ino(path), kv.get(inodeKey(ino(path))) as Uint8Array);
  return { kv, ino, inode, upload, openUpload: open.result.upload };
}

async function check(shard: TestShard, options: Partial<FsckOptions> = {}): Promise<{ findings: FsckFinding[]; items: FsckItem[] }> {
  const items: FsckItem[] = [];
  for await (const item of shard.engine.fsck({ ...REPORT, ...options })) items.push(item);
  return { items, findings: items.filter((item) => item.kind === 'finding') };
}

const said = (findings: readonly FsckFinding[]): string[] => findings.map(({ class: kind, where }) => `${kind}: ${where}`).sort();

interface Damage {
  readonly class: FsckClass;
  readonly what: string;
  readonly do: (sound: Sound) => readonly KvWrite[];
  /** What is found, as `class: where`. */
  readonly finds: (sound: Sound) => readonly string[];
  readonly mends: boolean;
  readonly options?: Partial<FsckOptions>;
}

const gone = (key: Uint8Array): KvWrite => ({ key, value: undefined });

function withInode({ ino, inode }: Sound, path: string, change: (inode: Inode) => void): readonly KvWrite[] {
  const damaged = inode(path).clone();
  change(damaged);
  return [{ key: inodeKey(ino(path)), value: encodeInode(damaged) }];
}

function withEntry({ kv, ino }: Sound, parent: string, name: string, value: (birth: Version, child: InodeNumber) => Uint8Array): KvWrite[] {
  const key = dentryKey(ino(parent), bytes(name));
  const entry = decodeDentry(kv.get(key) as Uint8Array);
  return [{ key, value: value(entry.birth, entry.ino) }];
}

function rowOf(kv: MemoryKv, family: (typeof FAMILY)[keyof typeof FAMILY], pick: (key: Uint8Array) => boolean = () => true): Uint8Array {
  for (const { key } of kv.range(familyStart(family), familyEnd(family))) if (pick(key)) return Uint8Array.from(key);
  throw new Error(`no row of family ${family}`);
}

const hex = (key: Uint8Array): string => Buffer.from(key).toString('hex');
const GARBAGE = bytes('xyz');
const ALL_DROPPED = { options: { repair: 'drop' } as const };
const historyPick = (key: Uint8Array): boolean => key[1] === FAMILY.inode;

const DAMAGES: readonly Damage[] = [
  {
    class: 'entry-without-inode',
    what: 'the row of an inode is gone',
    do: ({ ino }) => [gone(inodeKey(ino('/a/link')))],
    finds: ({ ino }) => ['counters: counters', `entry-without-inode: entry ${ino('/a')}/link`],
    mends: true,
    ...ALL_DROPPED,
  },
  {
    class: 'entry-without-directory',
    what: 'an entry in a directory that is not there',
    do: ({ ino, kv }) => [
      { key: dentryKey(99 as InodeNumber, bytes('x')), value: Uint8Array.from(kv.get(dentryKey(ino('/a'), bytes('sub'))) as Uint8Array) },
    ],
    finds: ({ ino }) => ['entry-without-directory: entry 99/x', `directory-names: inode ${ino('/a/sub')}`].sort(),
    mends: false,
  },
  {
    class: 'entry-type',
    what: 'an entry calls a directory a fifo',
    do: (sound) => withEntry(sound, '/a', 'sub', (birth, ino) => encodeDentry(birth, ino, 'fifo', undefined)),
    finds: ({ ino }) => [`entry-type: entry ${ino('/a')}/sub`],
    mends: true,
  },
  {
    class: 'entry-attributes',
    what: 'an entry repeats another size',
    do: (sound) =>
      withEntry(sound, '/a', 'file', (birth, ino) => {
        const other = sound.inode('/a/file').clone();
        other.size = 77;
        return encodeDentry(birth, ino, 'file', other);
      }),
    finds: ({ ino }) => [`entry-attributes: entry ${ino('/a')}/file`],
    mends: true,
  },
  {
    class: 'entry-attributes',
    what: 'an entry of a shared file repeats attributes',
    do: (sound) => withEntry(sound, '/a', 'two', (birth, ino) => encodeDentry(birth, ino, 'file', sound.inode('/one'))),
    finds: ({ ino }) => [`entry-attributes: entry ${ino('/a')}/two`],
    mends: true,
  },
  {
    class: 'orphan',
    what: 'the entry of a file is gone',
    do: ({ ino }) => [gone(dentryKey(ino('/a'), bytes('file')))],
    finds: ({ ino }) => [`children: inode ${ino('/a')}`, `orphan: inode ${ino('/a/file')}`],
    mends: true,
  },
  {
    class: 'orphan',
    what: 'the entry of a directory is gone',
    do: ({ ino }) => [gone(dentryKey(ino('/a/sub'), bytes('deep')))],
    finds: ({ ino }) => [`children: inode ${ino('/a/sub')}`, `orphan: inode ${ino('/a/sub/deep')}`],
    mends: true,
  },
  {
    class: 'place',
    what: 'a file notes another name',
    do: (sound) => withInode(sound, '/a/file', (inode) => (inode.name = bytes('other'))),
    finds: ({ ino }) => [`place: inode ${ino('/a/file')}`],
    mends: true,
  },
  {
    class: 'place',
    what: 'a directory notes another birth of its name',
    do: (sound) => withInode(sound, '/a/sub', (inode) => (inode.namedAt = 1 as Version)),
    finds: ({ ino }) => [`place: inode ${ino('/a/sub')}`],
    mends: true,
  },
  {
    class: 'nlink',
    what: 'a file with one name counts three',
    do: (sound) => withInode(sound, '/a/file', (inode) => (inode.nlink = 3)),
    finds: ({ ino }) => [`nlink: inode ${ino('/a/file')}`],
    mends: true,
  },
  {
    class: 'nlink',
    what: 'a file with two names counts one',
    do: (sound) => withInode(sound, '/one', (inode) => (inode.nlink = 1)),
    finds: ({ ino }) => [`nlink: inode ${ino('/one')}`],
    mends: true,
  },
  {
    class: 'directory-names',
    what: 'a directory has two names',
    do: ({ ino, kv }) => [
      { key: dentryKey(ino('/'), bytes('again')), value: Uint8Array.from(kv.get(dentryKey(ino('/a'), bytes('sub'))) as Uint8Array) },
    ],
    finds: ({ ino }) => [`children: inode ${ino('/')}`, `directory-names: inode ${ino('/a/sub')}`],
    mends: false,
  },
  {
    class: 'link-rows',
    what: 'a link row is gone',
    do: ({ ino }) => [gone(linkKey(ino('/one'), ino('/a'), bytes('two')))],
    finds: ({ ino }) => [`link-rows: inode ${ino('/one')}`],
    mends: true,
  },
  {
    class: 'link-rows',
    what: 'a link row too many',
    do: ({ ino }) => [{ key: linkKey(ino('/one'), ino('/a'), bytes('three')), value: encodeLink(1 as Version) }],
    finds: ({ ino }) => [`link-rows: inode ${ino('/one')}`],
    mends: true,
  },
  {
    class: 'link-rows',
    what: 'a link row of no inode',
    do: ({ ino }) => [{ key: linkKey(999 as InodeNumber, ino('/a'), bytes('three')), value: encodeLink(1 as Version) }],
    finds: ({ ino }) => [`link-rows: link 999 at entry ${ino('/a')}/three`],
    mends: true,
  },
  {
    class: 'children',
    what: 'a directory counts an entry too many',
    do: (sound) => withInode(sound, '/a', (inode) => (inode.children += 1)),
    finds: ({ ino }) => [`children: inode ${ino('/a')}`],
    mends: true,
  },
  {
    class: 'children',
    what: 'a directory counts a directory too few',
    do: (sound) => withInode(sound, '/a', (inode) => (inode.nlink -= 1)),
    finds: ({ ino }) => [`children: inode ${ino('/a')}`],
    mends: true,
  },
  {
    class: 'cycle',
    what: 'a directory lies in its own descendant',
    do: (sound) => {
      const { ino, kv } = sound;
      const entry = Uint8Array.from(kv.get(dentryKey(ino('/a'), bytes('sub'))) as Uint8Array);
      return [
        gone(dentryKey(ino('/a'), bytes('sub'))),
        { key: dentryKey(ino('/a/sub/deep'), bytes('sub')), value: entry },
        ...withInode(sound, '/a/sub', (inode) => (inode.parent = ino('/a/sub/deep'))),
        ...withInode(sound, '/a', (inode) => {
          inode.children -= 1;
          inode.nlink -= 1;
        }),
        ...withInode(sound, '/a/sub/deep', (inode) => {
          inode.children += 1;
          inode.nlink += 1;
        }),
      ];
    },
    finds: ({ ino }) => [`cycle: inode ${Math.min(ino('/a/sub'), ino('/a/sub/deep'))}`],
    mends: true,
  },
  {
    class: 'xattr-without-inode',
    what: 'an extended attribute of no inode',
    do: () => [{ key: xattrKey(999 as InodeNumber, bytes('user.x')), value: encodeXattr(1 as Version, bytes('v')) }],
    finds: () => [`xattr-without-inode: xattr of inode 999 (row ${hex(xattrKey(999 as InodeNumber, bytes('user.x')))})`],
    mends: true,
  },
  {
    class: 'xattr-bytes',
    what: 'the list of extended attributes is miscounted',
    do: (sound) => withInode(sound, '/a/file', (inode) => (inode.xattrListBytes = 0)),
    finds: ({ ino }) => [`xattr-bytes: inode ${ino('/a/file')}`],
    mends: true,
  },
  {
    class: 'size',
    what: 'a file shows another size than its body has',
    do: (sound) => {
      const other = sound.inode('/a/file').clone();
      other.size += 5;
      const entry = withEntry(sound, '/a', 'file', (birth, ino) => encodeDentry(birth, ino, 'file', other));
      return [...withInode(sound, '/a/file', (inode) => (inode.size += 5)), ...entry];
    },
    finds: ({ ino }) => [`size: inode ${ino('/a/file')}`],
    mends: true,
  },
  {
    class: 'body-missing',
    what: 'the body of a file is gone',
    do: ({ ino, inode }) => [gone(bodyKey(ino('/a/file'), inode('/a/file').generation))],
    finds: ({ ino }) => [`body-missing: inode ${ino('/a/file')}`],
    mends: false,
  },
  {
    class: 'body-unowned',
    what: 'a body of no inode that nothing will end',
    do: ({ ino, kv, inode }) => [
      {
        key: bodyKey(999 as InodeNumber, 1 as Generation),
        value: Uint8Array.from(kv.get(bodyKey(ino('/one'), inode('/one').generation)) as Uint8Array),
      },
    ],
    finds: () => ['body-unowned: body 1 of inode 999'],
    mends: true,
  },
  {
    class: 'extent-references',
    what: 'an extent counts one body too few',
    do: ({ kv, upload }) => [
      { key: extentKey(upload), value: encodeExtent({ ...decodeExtent(kv.get(extentKey(upload)) as Uint8Array), references: 0 }) },
    ],
    finds: ({ upload }) => [`extent-references: extent ${upload}`],
    mends: true,
  },
  {
    class: 'extent-missing',
    what: 'the row of an extent is gone',
    do: ({ upload }) => [gone(extentKey(upload))],
    finds: ({ upload }) => [`extent-missing: extent ${upload}`],
    mends: true,
  },
  {
    class: 'extent-unowned',
    what: 'an extent that nothing names and nothing will remove',
    do: () => [{ key: extentKey('ab'.repeat(16) as UploadId), value: encodeExtent({ references: 0, blocks: 1, bytes: 1 }) }],
    finds: () => [`extent-unowned: extent ${'ab'.repeat(16)}`],
    mends: true,
  },
  {
    class: 'upload-unqueued',
    what: 'an open upload that nothing will end',
    do: ({ kv, openUpload }) => [gone(rowOf(kv, FAMILY.gc, (key) => hex(key).includes(openUpload)))],
    finds: ({ openUpload }) => [`upload-unqueued: upload ${openUpload}`],
    mends: true,
  },
  {
    class: 'pin',
    what: 'a tag that names no pin',
    do: () => [{ key: Buffer.concat([Uint8Array.of(FAMILY.tag), bytes('v1')]), value: Buffer.from([0, 0, 0, 0, 0, 0, 0, 9]) }],
    finds: () => ['pin: tag v1'],
    mends: false,
  },
  {
    class: 'fork',
    what: 'a fork that no directory shows',
    do: ({ ino }) => [
      {
        key: Buffer.from([FAMILY.fork, ...inodeKey(ino('/a')).subarray(1)]),
        value: encodeFork({
          base: ino('/'),
          version: 2 as Version,
          outstanding: 1,
          isExact: true,
          keepsBase: false,
          isRootGone: false,
          merged: 0 as Version,
          created: { sec: 1, nsec: 0 },
          actor: 'x',
        }),
      },
    ],
    finds: ({ ino }) => [`fork: fork ${ino('/a')}`, 'fork: progress'],
    mends: false,
  },
  {
    class: 'policy',
    what: 'a policy of a directory that is gone',
    do: () => [{ key: Buffer.from([FAMILY.policy, 0, 0, 0, 0, 0, 0, 3, 0]), value: encodePolicy({ keepLast: 1, keepMs: 1 }) }],
    finds: () => ['policy: policy of inode 768', 'policy: progress'],
    mends: false,
  },
  {
    class: 'session',
    what: 'a lock of a session that is not there',
    do: ({ ino }) => [{ key: lockKey(ino('/one'), 'flock', SESSION_ID, 1, 0), value: Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 9]) }],
    finds: ({ ino }) => [`session: hold ${SESSION_ID}/${ino('/one')}`, `session: session ${SESSION_ID}`],
    mends: false,
  },
  {
    class: 'counters',
    what: 'the counters are off',
    do: ({ ino }) => [{ key: countersKey(ino('/')), value: encodeCounters({ bytes: 3, inodes: 4 }) }],
    finds: () => ['counters: counters'],
    mends: true,
  },
  {
    class: 'history',
    what: 'an old value claims to be newer than what replaced it',
    do: ({ kv }) => {
      const key = rowOf(kv, FAMILY.history, historyPick);
      const value = Buffer.from(kv.get(key) as Uint8Array);
      value.writeBigUInt64BE(2n ** 40n, 0);
      return [{ key, value }];
    },
    finds: ({ kv }) => [`history: history of row ${hex(rowOf(kv, FAMILY.history, historyPick)).slice(2, -18)}`],
    mends: false,
  },
  {
    class: 'log',
    what: 'a result whose change is gone',
    do: () => [gone(changeKey(3 as Version, 0))],
    finds: () => ['log: request r-2'],
    mends: false,
  },
  {
    class: 'queue',
    what: 'work of no known kind in the queue',
    do: () => [{ key: Buffer.from([FAMILY.gc, 0, 0, 0, 0, 0, 0, 0, 9, 77]), value: Buffer.alloc(0) }],
    finds: () => ['queue: row 6000000000000000094d'],
    mends: false,
  },
  {
    class: 'unknown-family',
    what: 'a key of no family',
    do: () => [{ key: Buffer.from([0x05, 1]), value: Buffer.alloc(0) }],
    finds: () => ['unknown-family: row 0501'],
    mends: false,
  },
  ...(
    [
      ['an inode', ({ ino }) => [inodeKey(ino('/a/link'))], ({ ino }) => `inode ${ino('/a/link')}`],
      ['an entry', ({ ino }) => [dentryKey(ino('/a'), bytes('link'))], ({ ino }) => `entry ${ino('/a')}/link`],
      ['a link', ({ ino }) => [linkKey(ino('/one'), ino('/a'), bytes('two'))], ({ ino }) => `link of inode ${ino('/one')}`],
      ['an extended attribute', ({ ino }) => [xattrKey(ino('/a/file'), bytes('user.k'))], ({ ino }) => `xattr of inode ${ino('/a/file')}`],
      [
        'a body',
        ({ ino, inode }) => [bodyKey(ino('/one'), inode('/one').generation)],
        ({ ino, inode }) => `body ${inode('/one').generation} of inode ${ino('/one')}`,
      ],
      ['an extent', ({ upload }) => [extentKey(upload)], ({ upload }) => `extent ${upload}`],
      ['an upload', ({ openUpload }) => [uploadKey(openUpload)], ({ openUpload }) => `upload ${openUpload}`],
      ['history', ({ kv }) => [rowOf(kv, FAMILY.history)], () => 'history'],
      ['a change', () => [changeKey(3 as Version, 0)], () => 'change 3.0'],
      ['a result', () => [requestKey('r-1' as Parameters<typeof requestKey>[0])], () => 'request r-1'],
    ] as readonly [string, (sound: Sound) => readonly [Uint8Array], (sound: Sound) => string][]
  ).map(([what, key, label]): Damage => ({
    class: 'undecodable',
    what: `${what} that cannot be decoded`,
    do: (sound) => [{ key: key(sound)[0], value: GARBAGE }],
    finds: (sound) => [`undecodable: ${label(sound)} (row ${hex(key(sound)[0])})`],
    mends: false,
  })),
];

test('a sound shard has no findings', async () => {
  const { kv } = await soundShard();
  const { items, findings } = await check(await TestShard.open(kv));
  expect(findings).toEqual([]);
  expect(items.at(-1)).toMatchObject({ kind: 'done', findings: 0, repaired: 0 });
});

test.each(DAMAGES)('$class: $what', async (damage) => {
  const sound = await soundShard();
  const expected = [...damage.finds(sound)].sort();
  const writes = damage.do(sound);
  await sound.kv.commit(writes).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again' });
  const { findings } = await check(shard);
  const named = said(findings);
  for (const line of expected) expect(named).toContain(line);
  // Damage to one row may show in others that rest on it; nothing else is said.
  if (damage.class !== 'undecodable') expect(named).toEqual(expected);
  expect(findings.some(({ class: kind }) => kind === damage.class)).toBe(true);
  const repaired = await check(shard, { repair: damage.options?.repair ?? 'safe' });
  const outcomes = repaired.findings.map(({ repair }) => repair);
  if (damage.mends) expect(outcomes).toEqual(outcomes.map(() => 'done'));
  else expect(repaired.findings.find(({ class: kind }) => kind === damage.class)).toMatchObject({ repair: 'none' });
  const after = await check(shard);
  if (damage.mends) expect(after.findings).toEqual([]);
  else expect(after.findings.map(({ class: kind }) => kind)).toContain(damage.class);
  await shard.engine.close();
});

test('numbers in use that are not reserved are named', async () => {
  const { kv } = await soundShard();
  const shard = await TestShard.open(kv);
  const key = systemKey(SYSTEM_ITEM.progress);
  await kv.commit([{ key, value: encodeProgress({ ...decodeProgress(kv.get(key) as Uint8Array), inodesReserved: 5 }) }]).flushed;
  expect(said((await check(shard)).findings)).toEqual(['system: progress']);
});

test('what has lost its name is found in /lost+found, as it was', async () => {
  const sound = await soundShard();
  await sound.kv.commit([gone(dentryKey(sound.ino('/a'), bytes('file'))), gone(dentryKey(sound.ino('/a'), bytes('sub')))]).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again' });
  await check(shard, { repair: 'safe' });
  expect(await shard.text(`/lost+found/#${sound.ino('/a/file')}`)).toBe('second');
  expect(await shard.names(`/lost+found/#${sound.ino('/a/sub')}`)).toEqual(['deep']);
  expect(await shard.names('/a')).toEqual(['link', 'two']);
  const { changes } = await shard.read('changes', { since: 0 as Version, limit: 100 });
  expect(changes.slice(-3).map(({ kind, actor }) => `${kind} by ${actor}`)).toEqual([
    'created by nokv',
    'created by nokv',
    'created by nokv',
  ]);
});

test('an entry that leads nowhere is taken away only when that is asked for', async () => {
  const sound = await soundShard();
  await sound.kv.commit([gone(inodeKey(sound.ino('/a/link')))]).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again' });
  const { findings } = await check(shard, { repair: 'safe' });
  expect(findings.find(({ class: kind }) => kind === 'entry-without-inode')).toMatchObject({ repair: 'possible', path: '/a' });
  expect(await shard.names('/a')).toContain('link');
  await check(shard, { repair: 'drop' });
  expect(await shard.names('/a')).toEqual(['file', 'sub', 'two']);
});

test('what changed since it was looked at is not mended with what it was', async () => {
  const sound = await soundShard();
  await sound.kv.commit([...withInode(sound, '/a', (inode) => (inode.children += 1))]).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again' });
  const running = shard.engine.fsck({ ...REPORT, repair: 'safe' })[Symbol.asyncIterator]();
  // The pass over inodes has its state when it has told its progress.
  expect((await running.next()).value).toMatchObject({ kind: 'progress', pass: 'inodes' });
  await shard.create('/a/new');
  const findings: FsckFinding[] = [];
  for (let next = await running.next(); next.done !== true; next = await running.next()) {
    if (next.value.kind === 'finding') findings.push(next.value);
  }
  expect(findings).toMatchObject([{ class: 'children', repair: 'failed' }]);
  expect((await check(shard, { repair: 'safe' })).findings).toMatchObject([{ class: 'children', repair: 'done' }]);
  expect((await check(shard)).findings).toEqual([]);
  expect(await shard.stat('/a')).toMatchObject({ children: 5 });
});

test('where a log is the truth, counts are not put right by a difference', async () => {
  const sound = await soundShard();
  await sound.kv.commit([{ key: countersKey(sound.ino('/')), value: encodeCounters({ bytes: 3, inodes: 4 }) }]).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again', sink: localSink(sound.kv) });
  expect((await check(shard, { repair: 'safe' })).findings).toMatchObject([{ class: 'counters', repair: 'none' }]);
});

test('one check at a time; a broken-off one makes room', async () => {
  const { kv } = await soundShard();
  const shard = await TestShard.open(kv, { prefix: 'again' });
  const first = shard.engine.fsck(REPORT)[Symbol.asyncIterator]();
  await first.next();
  await expect(check(shard)).rejects.toMatchObject({ code: 'too-busy' });
  await first.return?.();
  expect((await check(shard)).findings).toEqual([]);
});

test('closing the shard ends a check that is under way, and nothing holds the store then', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-fsck-'));
  try {
    const shard = await TestShard.open(await openLmdbKv({ directory }));
    await Promise.all(Array.from({ length: 500 }, (_, i) => shard.create(`/f${i}`)));
    const seen: string[] = [];
    const running = (async () => {
      for await (const item of shard.engine.fsck(REPORT)) {
        seen.push(item.kind);
        if (seen.length === 2) void shard.engine.close();
      }
    })();
    const ended = await running.then(
      () => 'ended',
      (error: unknown) => (error as { readonly code?: string }).code,
    );
    expect(['ended', 'draining']).toContain(ended);
    expect(seen).not.toContain('done');
    await shard.engine.close();
    const again = await TestShard.open(await openLmdbKv({ directory }), { prefix: 'again' });
    expect((await check(again)).findings).toEqual([]);
    await again.engine.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

test.each(['', 'inodes.', 'inodes.xyz', 'nothing.00', 'inodes.00.00', `logs.${'00'.repeat(400)}`])('%j is no cursor', async (resume) => {
  const { kv } = await soundShard();
  const shard = await TestShard.open(kv, { prefix: 'again' });
  await expect(check(shard, { resume })).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('a check goes on from a cursor, and finds behind it what it found before', async () => {
  const first = await TestShard.open(new MemoryKv());
  for (let i = 0; i < 500; i++) await first.create(`/f${String(i).padStart(4, '0')}`);
  const last = (await first.stat('/f0499')).ino;
  await first.engine.close();
  const kv = (first.kv as MemoryKv).powerCut();
  const damaged = decodeInode(last, kv.get(inodeKey(last)) as Uint8Array);
  damaged.xattrListBytes = 9;
  await kv.commit([{ key: inodeKey(last), value: encodeInode(damaged) }]).flushed;
  const shard = await TestShard.open(kv, { prefix: 'again' });
  const { items, findings } = await check(shard);
  expect(said(findings)).toEqual([`xattr-bytes: inode ${last}`]);
  const cursors = items.filter((item) => item.kind === 'progress').map(({ cursor }) => cursor);
  const passes = items.filter((item) => item.kind === 'progress').map(({ pass }) => pass);
  expect(passes).toEqual(['inodes', 'entries', 'names', 'tree', 'counters', 'extents', 'bodies', 'pins', 'holds', 'logs']);
  const resumed = await check(shard, { resume: cursors[1] as string });
  expect(resumed.findings).toEqual([]);
  expect(resumed.items[0]).toMatchObject({ kind: 'progress', pass: 'entries' });
  const inside = await check(shard, { resume: `inodes.${inodeKey(last).toString('hex')}` });
  expect(said(inside.findings)).toEqual([`xattr-bytes: inode ${last}`]);
  // A cursor lies behind what was done: behind the last inode nothing is left of this pass.
  const behind = (ino: InodeNumber): string => `inodes.${inodeKey(ino).toString('hex')}00`;
  expect(said((await check(shard, { resume: behind((last - 1) as InodeNumber) })).findings)).toEqual([`xattr-bytes: inode ${last}`]);
  expect((await check(shard, { resume: behind(last) })).findings).toEqual([]);
});

test('others have their turn after every few hundred rows', async () => {
  const shard = await TestShard.open(new MemoryKv());
  for (let i = 0; i < 1000; i++) await shard.create(`/f${i}`);
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const { items } = await check(shard);
  isOver = true;
  const done = items.at(-1);
  const rows = done?.kind === 'done' ? done.rows : 0;
  expect(rows).toBeGreaterThan(7000);
  expect(turns).toBeGreaterThan(rows / 300);
});

/** A store with the blocks of `keys`; checksums are those of `sums`, else 7. */
function inventory(keys: readonly string[], sums: Readonly<Record<string, number>> = {}): BlockInventory & { readonly keys: Set<string> } {
  const present = new Set(keys);
  return {
    keys: present,
    async *list(bucket) {
      const prefix = `blocks/${bucket.toString(16).padStart(2, '0')}/`;
      const page = [...present].filter((key) => key.startsWith(prefix)).sort();
      yield page.map((key) => {
        const [, , upload, index] = key.split('/') as [string, string, string, string];
        return { key, size: 100, upload: upload as UploadId, index: Number(index) };
      });
    },
    async *listOutside() {
      yield [];
    },
    has: async (upload, index) => present.has(blockKey(upload, index)),
    checksum: async ({ upload, index }) => (present.has(blockKey(upload, index)) ? (sums[blockKey(upload, index)] ?? 7) : undefined),
    remove: async (key) => void present.delete(key),
  };
}

test('a block that a body names and the store lacks is named with the path', async () => {
  const { kv, upload } = await soundShard();
  const shard = await TestShard.open(kv, { prefix: 'again' });
  expect((await check(shard, { blocks: inventory([blockKey(upload, 0)]) })).findings).toEqual([]);
  const { findings } = await check(shard, { blocks: inventory([]) });
  expect(findings).toMatchObject([{ class: 'block-missing', where: `object ${blockKey(upload, 0)}`, path: '/big', repair: 'none' }]);
});

test('an object that nothing knows is stray, once it is old enough, and goes only when that is asked for', async () => {
  const { kv, upload, openUpload } = await soundShard();
  const shard = await TestShard.open(kv, { prefix: 'again' });
  const known = [blockKey(upload, 0), blockKey(openUpload, 5)];
  const stray = blockKey(makeUploadId(shard.clock.nowMs() - 7_200_000, new Uint8Array(10)), 3);
  const young = blockKey(makeUploadId(shard.clock.nowMs() - 60_000, new Uint8Array(10)), 3);
  const blocks = inventory([...known, stray, young]);
  const safe = await check(shard, { blocks, repair: 'safe' });
  expect(safe.findings).toMatchObject([{ class: 'stray-object', where: `object ${stray}`, repair: 'possible' }]);
  const dropped = await check(shard, { blocks, repair: 'drop' });
  expect(dropped.findings).toMatchObject([{ class: 'stray-object', repair: 'done' }]);
  expect([...blocks.keys]).toEqual([...known, young]);
  expect((await check(shard, { blocks })).findings).toEqual([]);
});

test('checksums are compared only when asked for: of blocks and of bodies in the metadata', async () => {
  const sound = await soundShard();
  const key = bodyKey(sound.ino('/one'), sound.inode('/one').generation);
  const row = decodeBody(sound.kv.get(key) as Uint8Array);
  await sound.kv.commit([{ key, value: encodeBody({ ...row, digest: `sha256:${'0'.repeat(64)}` }) }]).flushed;
  const shard = await TestShard.open(sound.kv, { prefix: 'again' });
  const block = blockKey(sound.upload, 0);
  const blocks = inventory([block], { [block]: 8 });
  expect((await check(shard, { blocks })).findings).toEqual([]);
  const { findings } = await check(shard, { blocks, checksums: true });
  expect(findings.map(({ class: kind, path, expected }) => [kind, path, expected])).toEqual([
    ['block-checksum', '/one', `sha256:${'0'.repeat(64)}`],
    ['block-checksum', '/big', 'crc32c 00000007'],
  ]);
});

test('every class is shown by a test', () => {
  const elsewhere: readonly FsckClass[] = ['system', 'block-missing', 'block-checksum', 'stray-object'];
  expect(new Set([...DAMAGES.map(({ class: kind }) => kind), ...elsewhere])).toEqual(new Set(FSCK_CLASSES));
});

test.each([1, 2, 3])('under random load on a real store nothing is found, seed %i', { timeout: 120_000 }, async (seed) => {
  const directory = await mkdtemp(join(tmpdir(), 'nokv-fsck-'));
  try {
    const clock = new RunningClock();
    const shard = await TestShard.open(await openLmdbKv({ directory }), {
      clock,
      retention: { bodyMs: 3000, bodiesKept: 1, uploadMs: 500, extentMs: 500 },
      window: { requestMs: 4000, requestVersionsMax: 200, changeMs: 8000, changeVersionsMax: 400 },
    });
    let isOver = false;
    // Names, bodies, uploads, sessions, locks, snapshots, tags, forks, merges, transactions and background work.
    const load = runLoad({ engine: shard.engine, clock, seed, steps: 400 }).finally(() => (isOver = true));
    let checks = 0;
    do {
      expect((await check(shard)).findings).toEqual([]);
      checks += 1;
    } while (!isOver);
    expect(await load).toBeGreaterThan(50);
    expect(checks).toBeGreaterThan(3);
    expect(contradictions(shard.kv)).toEqual([]);
    await shard.engine.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});
