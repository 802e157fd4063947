/** The messages of `vectors/messages.json`: every frame, every operation, with and without optional fields. */
import { LOCK_END_MAX, NokvError } from '@nokv/types';
import type {
  Attributes,
  ChangeRecord,
  Generation,
  InodeNumber,
  PathChange,
  PinId,
  ShardId,
  Epoch,
  UploadId,
  Version,
  RequestId,
  SessionId,
} from '@nokv/types';
import { definitionOf } from '../schemas/operations.js';
import type { AnswerOf, ArgsOf, EnvelopeOf, ItemOf, Operation, StreamOperation, UnaryOperation } from '../wire-operations.js';
import { AT_ARGS, DIFF_ITEMS, HISTORY_ARGS, historyAnswers } from './golden-history.js';
import type { Message } from './message.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const ino = (n: number): InodeNumber => n as InodeNumber;
const upload = '0192f5c3a1b20123456789abcdef0123' as UploadId;
const otherUpload = '0192f5c3a1b3fedcba9876543210fedc' as UploadId;
const session = '0192f5c3a1b40123456789abcdef0123' as SessionId;
const place = { parent: ino(1), name: bytes('run') };
const path = { path: bytes('/runs/7/model.bin') };
const time = { sec: 1_760_000_000, nsec: 123_456_789 };
const owner = { uid: 1000, gid: 100 };

const attributes: Attributes = {
  ino: ino(2 ** 41 + 17),
  type: 'file',
  mode: 0o644,
  uid: 1000,
  gid: 100,
  nlink: 1,
  size: 200_000_000,
  blocks: 390_625,
  atime: time,
  mtime: { sec: -1, nsec: 999_999_999 },
  ctime: { sec: 0, nsec: 0 },
  rdev: 0,
  revision: 3,
  generation: 4_294_967_296 as Generation,
  ordinal: 1,
  children: 0,
};

const change: ChangeRecord = {
  version: 77 as Version,
  ordinal: 0,
  kind: 'renamed',
  ino: ino(9),
  type: 'directory',
  parent: ino(1),
  name: bytes('new'),
  fromParent: ino(1),
  fromName: Uint8Array.of(0xff, 0xfe),
  generation: 0 as Generation,
  requestId: 'r-1',
  actor: 'agent:évaluator',
  time,
};

const moved: PathChange = {
  version: 77 as Version,
  ordinal: 0,
  kind: 'renamed',
  ino: ino(9),
  type: 'directory',
  path: bytes('/a/new'),
  fromPath: Uint8Array.of(0x2f, 0xff, 0xfe),
  generation: 4 as Generation,
  requestId: 'r-1',
  actor: 'agent:évaluator',
  time,
};

const leanMoved: PathChange = {
  version: 78 as Version,
  ordinal: 2,
  kind: 'attributes',
  ino: ino(9),
  type: 'file',
  requestId: '',
  actor: '',
  time: { sec: 0, nsec: 0 },
};

const leanChange: ChangeRecord = {
  version: 78 as Version,
  ordinal: 2,
  kind: 'attributes',
  ino: ino(9),
  type: 'file',
  requestId: '',
  actor: '',
  time: { sec: 0, nsec: 0 },
};

const manifest = {
  size: 9_300_000,
  extents: [
    { upload, index: 0, offset: 0, length: 4_194_304, crc32c: 0xdeadbeef, skip: 0, take: 4_194_304 },
    { hole: true, take: 611_392 },
    { upload: otherUpload, index: 3, offset: 128, length: 4_194_304, crc32c: 1, skip: 0, take: 4_194_304 },
    {
      upload,
      index: 1,
      offset: 0,
      length: 300_000,
      crc32c: 2,
      skip: 0,
      take: 300_000,
      chunks: { bytes: 131_072, running: Uint8Array.of(0, 1, 2, 3, 0xff, 0xfe, 0xfd, 0xfc) },
    },
  ],
} as const;
/** The same, compressed. */
const compressed = {
  size: 4_000_000,
  extents: [
    {
      upload,
      index: 7,
      offset: 0,
      length: 900_000,
      crc32c: 2,
      skip: 194_304,
      take: 4_000_000,
      compression: { codec: 'brotli', plainLength: 4_194_304, plainCrc32c: 0xcafe },
    },
  ],
} as const;

const range = { node: { ino: ino(9) }, session, owner: 2 ** 53 - 1, kind: 'range', start: 4096, end: 8192 } as const;

type ArgsSamples = { readonly [Op in Operation]: readonly ArgsOf<Op>[] };
type AnswerSamples = { readonly [Op in UnaryOperation]: readonly AnswerOf<Op>[] };

const ARGS: ArgsSamples = {
  stat: [{ node: { ino: ino(1) } }, { node: path, follow: false }, { node: place, follow: true }, ...AT_ARGS],
  lookup: [
    { parent: ino(1), name: bytes('a') },
    { parent: ino(1), name: bytes('a'), at: { version: 40 as Version } },
  ],
  getattr: [{ ino: ino(4096 * 2 ** 41 - 1) }, { ino: ino(1), at: { tag: 'best' } }],
  list: [
    { node: path, limit: 1, attributes: false },
    { node: { ino: ino(1) }, after: Uint8Array.of(0x80), limit: 4096, attributes: true },
    { node: path, limit: 1, attributes: false, at: { snapshot: 7 as PinId } },
  ],
  readlink: [{ node: place }, { node: place, at: { tag: 'best' } }],
  'path-of': [{ ino: ino(5) }, { ino: ino(5), at: { tag: 'best' } }],
  'xattr-get': [
    { node: path, name: bytes('user.k') },
    { node: path, name: bytes('user.k'), at: { tag: 'best' } },
  ],
  'xattr-list': [{ node: path }, { node: path, at: { tag: 'best' } }],
  'open-read': [{ node: path }, { node: { ino: ino(7) }, generation: 3 as Generation }, { node: path, at: { tag: 'best' } }],
  statfs: [{}],
  changes: [{ since: 0 as Version, limit: 100 }],
  'stat-many': [{ nodes: [{ ino: ino(1) }, path, place] }, { nodes: [], follow: false, at: { version: 5 as Version } }],
  'read-many': [
    { nodes: [path], bytesMax: 65_536 },
    { nodes: [path, { ino: ino(7) }], bytesMax: 65_536, generations: [0 as Generation, 3 as Generation] },
  ],
  'find-body': [{ digest: `sha256:${'0a'.repeat(32)}` }],
  'path-changes': [
    { root: path, limit: 1 },
    {
      root: { ino: ino(9) },
      filter: {
        kinds: ['created', 'renamed'],
        actors: ['trainer'],
        exceptActors: ['cli:put', ''],
        exceptRequestPrefix: 'mount-1',
        exceptClient: '0123456789ab',
      },
      from: { version: 77 as Version, ordinal: 3 },
      descending: true,
      limit: 1024,
    },
  ],
  mkdir: [
    { ...owner, entry: place, mode: 0o755 },
    { ...owner, entry: path, mode: 0o7777, parents: true },
  ],
  create: [
    { ...owner, entry: place, mode: 0o600, type: 'file', exclusive: true },
    { ...owner, entry: place, mode: 0, type: 'char', rdev: 259, exclusive: false },
  ],
  symlink: [{ ...owner, entry: place, target: bytes('../target') }],
  link: [{ node: { ino: ino(9) }, entry: place }],
  unlink: [{ entry: place }],
  rmdir: [{ entry: path }],
  'remove-tree': [{ entry: path }],
  rename: [
    { from: place, to: path, mode: 'replace' },
    { from: path, to: place, mode: 'no-replace' },
    { from: path, to: path, mode: 'exchange' },
  ],
  setattr: [{ node: path }, { node: path, follow: false, mode: 0o600, uid: 0, gid: 0, atime: 'now', mtime: time, size: 0 }],
  'xattr-set': [{ node: path, name: bytes('user.k'), value: new Uint8Array(300).fill(7), mode: 'create' }],
  'xattr-remove': [{ node: path, name: bytes('user.k') }],
  'begin-upload': [{ target: '/runs/7/model.bin', ttlMs: 900_000 }],
  'renew-upload': [{ upload, ttlMs: 1 }],
  'end-upload': [{ upload }],
  publish: [
    { ...owner, node: path, body: { kind: 'inline', bytes: bytes('hello') }, mode: 0o644 },
    {
      ...owner,
      node: place,
      body: { kind: 'blocks', manifest },
      digest: `sha256:${'ab'.repeat(32)}`,
      contentType: 'text/plain; charset=utf-8',
      producer: 'trainer',
      upload,
      endUpload: false,
      packed: true,
      base: ino(12),
      ifGeneration: 0 as Generation,
      ifDigest: 'sha256:00',
      parents: true,
      mode: 0o644,
      setMode: true,
      mtime: time,
    },
    {
      ...owner,
      node: path,
      body: { kind: 'blocks', manifest },
      upload,
      mode: 0o644,
      splices: [{ offset: 4096, length: 1, over: manifest.extents }, { length: manifest.size - 1 }],
    },
    { ...owner, node: path, body: { kind: 'blocks', manifest: compressed }, upload, mode: 0o644, share: true },
  ],
  'begin-tree': [{ ...owner, mode: 0o700, ttlMs: 60_000 }],
  'publish-tree': [
    { ...owner, root: ino(44), to: path, replace: false },
    { ...owner, root: ino(44), to: place, replace: true, parents: true },
  ],
  transact: [
    {
      preconditions: [
        { node: path, follow: true, ino: ino(9), type: 'file', revision: 3, generation: 5 as Generation, digest: 'sha256:00' },
        { node: place, exists: false },
        { node: { ino: ino(1) }, empty: true },
      ],
      operations: [
        { operation: 'mkdir', args: { ...owner, entry: place, mode: 0o755 } },
        { operation: 'unlink', args: { entry: path } },
      ],
    },
    { operations: [] },
  ],
  batch: [
    {
      items: [
        { operation: 'create', args: { ...owner, entry: place, mode: 0o600, type: 'file', exclusive: true } },
        { operation: 'rmdir', args: { entry: path }, requestId: 'own-1' as RequestId },
      ],
    },
  ],
  'test-lock': [{ ...range, type: 'exclusive' }],
  'list-locks': [{ node: path }],
  'list-sessions': [{ limit: 1 }, { after: session, limit: 1024 }],
  backup: [{ destination: 's3://bucket/prefix' }],
  'lock-wait': [
    { ...range, type: 'exclusive', requestId: 'r-1' as RequestId, actor: 'cli' },
    { ...range, type: 'shared', requestId: 'r-2' as RequestId, actor: '', caller: { uid: 1001, gid: 100, groups: [] } },
  ],
  'open-session': [{ name: 'backup', ttlMs: 30_000 }],
  'renew-session': [{ session, ttlMs: 86_400_000 }],
  'close-session': [{ session }],
  lock: [
    { ...range, type: 'shared' },
    { node: place, session, owner: 0, kind: 'flock', start: 0, end: LOCK_END_MAX, type: 'exclusive' },
  ],
  unlock: [range],
  'open-handle': [
    { node: path, session },
    { node: { ino: ino(9) }, follow: false, session },
  ],
  'close-handle': [{ ino: ino(9), session }],
  access: [{}],
  'presign-puts': [
    { upload, ticket: 'w1.t', blocks: [] },
    { upload, ticket: 'w1.t', blocks: [{ index: 999_999, length: 4_194_304, crc32c: 0xffff_ffff }] },
  ],
  'presign-gets': [{ readToken: 'r1.t', blocks: [{ upload: otherUpload, index: 0 }] }],
  'server-info': [{}],
  'shard-figures': [{ rows: true }],
  collect: [{ dryRun: true, limit: 100 }],
  fsck: [
    { repair: 'none', checksums: false },
    { repair: 'drop', checksums: true, resume: 'inodes.10000000000000002a' },
  ],
  watch: [{}, { since: 12 as Version }],
  ...HISTORY_ARGS,
  'watch-path': [{ root: path }, { root: { ino: ino(1) }, filter: {}, since: { version: 12 as Version, ordinal: 0xffff } }],
};

const refused = new NokvError('not-found', 'no such file', { details: { index: 1 } });
const created = { attributes, created: true };
const committed = <R>(result: R): { version: Version; result: R } => ({ version: (2 ** 40) as Version, result });
const ticketed = { upload, expiresAt: time, ticket: 'eyJ0aWNrZXQ' };

const holder = {
  session,
  name: 'backup',
  owner: 7,
  kind: 'range',
  type: 'exclusive',
  start: 0,
  end: LOCK_END_MAX,
  expiresAt: time,
} as const;

const ANSWERS: AnswerSamples = {
  stat: [
    { ...attributes, inline: false, xattrs: [] },
    {
      ...attributes,
      type: 'symlink',
      digest: 'sha256:aa',
      contentType: 'text/plain',
      producer: 'p',
      inline: true,
      target: bytes('/t'),
      xattrs: [bytes('user.a'), bytes('user.b')],
    },
  ],
  lookup: [attributes],
  getattr: [{ ...attributes, type: 'socket' }],
  list: [
    { directory: ino(1), entries: [], more: false },
    {
      directory: ino(1),
      entries: [
        { name: bytes('a'), ino: ino(2), type: 'directory' },
        { name: Uint8Array.of(0xe9), ino: attributes.ino, type: 'file', attributes },
      ],
      more: true,
    },
  ],
  readlink: [{ target: bytes('x') }],
  'path-of': [{ path: bytes('/') }],
  'xattr-get': [{ value: new Uint8Array(0) }, { value: new Uint8Array(300).fill(1) }],
  'xattr-list': [{ names: [bytes('user.k')] }],
  'open-read': [
    { attributes, generation: 5 as Generation, body: { kind: 'inline', bytes: new Uint8Array(0) } },
    { attributes, generation: 5 as Generation, digest: 'd', contentType: 'c', body: { kind: 'blocks', manifest } },
  ],
  statfs: [{ bytesUsed: 2 ** 50, inodesUsed: 3, bytesFree: Number.MAX_SAFE_INTEGER, inodesFree: 0 }],
  changes: [{ changes: [change, leanChange], next: 78 as Version }],
  'stat-many': [
    {
      answers: [
        { ok: true, value: { ...attributes, inline: true, xattrs: [] } },
        { ok: false, error: refused },
      ],
    },
  ],
  'read-many': [
    {
      answers: [
        { ok: true, value: { attributes, generation: 5 as Generation, body: { kind: 'inline', bytes: bytes('hello') } } },
        { ok: false, error: refused },
      ],
    },
  ],
  'find-body': [{}, { ino: ino(7), generation: 5 as Generation }],
  'path-changes': [
    { changes: [], next: { version: 78 as Version, ordinal: 0xffff }, more: false },
    { changes: [moved, leanMoved], next: { version: 78 as Version, ordinal: 2 }, more: true },
  ],
  mkdir: [committed(created)],
  create: [committed({ attributes, created: false })],
  symlink: [committed(created)],
  link: [committed({ attributes })],
  unlink: [committed({ ino: ino(3), nlink: 0 })],
  rmdir: [committed({ ino: ino(3) })],
  'remove-tree': [committed({ ino: ino(3) })],
  rename: [committed({ ino: ino(3) })],
  setattr: [committed({ attributes })],
  'xattr-set': [committed({ ino: ino(3) })],
  'xattr-remove': [committed({ ino: ino(3) })],
  'begin-upload': [committed(ticketed)],
  'renew-upload': [committed(ticketed)],
  'end-upload': [committed({ upload })],
  publish: [committed({ attributes, generation: (2 ** 40) as Generation, created: true })],
  'begin-tree': [committed({ root: ino(50), name: bytes('tree') })],
  'publish-tree': [committed(created)],
  transact: [
    committed({
      results: [
        { operation: 'mkdir', result: created },
        { operation: 'unlink', result: { ino: ino(3), nlink: 0 } },
      ],
    }),
  ],
  batch: [
    {
      answers: [
        { ok: true, value: { version: 12 as Version, operation: 'create', result: created } },
        { ok: false, error: refused },
      ],
    },
  ],
  'test-lock': [{}, { holder }],
  'list-locks': [{ ino: ino(9), locks: [holder, { ...holder, kind: 'flock', type: 'shared', name: '' }] }],
  'list-sessions': [
    {
      sessions: [{ session, name: 'backup', actor: 'cli', openedAt: time, expiresAt: time, live: true, locks: 2, handles: 1 }],
      more: false,
    },
  ],
  'open-session': [committed({ session, expiresAt: time })],
  'renew-session': [committed({ session, expiresAt: time })],
  'close-session': [committed({ session })],
  lock: [committed({ ino: ino(9) })],
  unlock: [committed({ ino: ino(9) })],
  'open-handle': [committed({ attributes })],
  'close-handle': [committed({ ino: ino(9), removed: true })],
  access: [
    {
      ways: [
        { kind: 'file', directory: '/srv/objects', marker: 'm' },
        { kind: 's3', endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', bucket: 'b', prefix: 'p/', pathStyle: true, marker: 'm' },
        {
          kind: 'presigned',
          description: 's3://b/p at http://127.0.0.1:9000',
          markerUrl: 'http://127.0.0.1:9000/b/p/namespace.json?X-Amz-Signature=00',
          marker: 'm',
          readToken: 't',
          expiresAtMs: 1_760_000_000_000,
        },
        {
          kind: 's3',
          endpoint: 'https://s3.eu-west-3.amazonaws.com',
          region: 'eu-west-3',
          bucket: 'b',
          prefix: '',
          pathStyle: false,
          storageClass: 'STANDARD_IA',
          encryption: 'aws:kms',
          kmsKeyId: 'alias/nokv',
          marker: 'm',
        },
        { kind: 'proxied', url: 'http://127.0.0.1:7778/objects', readToken: 't', expiresAtMs: 1_760_000_000_000 },
      ],
      blockBytes: 4_194_304,
      inlineBytesMax: 16_384,
    },
  ],
  'presign-puts': [
    {
      requests: [
        {
          url: 'http://127.0.0.1:9000/b/p/blocks/23/0192f5c3a1b20123456789abcdef0123/0?X-Amz-Signature=00',
          headers: [{ name: 'if-none-match', value: '*' }],
          expiresAtMs: 1_760_000_000_000,
        },
      ],
    },
  ],
  'presign-gets': [{ requests: [{ url: 'http://127.0.0.1:9000/b?X-Amz-Signature=00', headers: [], expiresAtMs: 1 }] }],
  'server-info': [
    {
      software: 'nokv/0.1.0',
      node: 'n1',
      uptimeMs: 5,
      http: '127.0.0.1:7778',
      shards: [{ shard: 0 as ShardId, epoch: 3 as Epoch, visible: 10 as Version, durable: 9 as Version }],
    },
    {
      software: 'nokv/0.1.0',
      node: 'n1',
      uptimeMs: 5,
      http: '127.0.0.1:7778',
      shards: [],
      status: {
        isServing: true,
        durability: 'shared',
        control: 'etcd://127.0.0.1:2379/nokv',
        pid: 4711,
        runtime: 'node/20.19.0',
        store: {
          description: 's3://b/p at http://127.0.0.1:9000',
          circuit: 'open',
          circuitMs: 1200,
          failure: 'connect ECONNREFUSED',
          retries: 12,
          opened: 1,
        },
      },
    },
  ],
  'shard-figures': [
    {
      shard: 0 as ShardId,
      epoch: 3 as Epoch,
      visible: 10 as Version,
      durable: 9 as Version,
      requestsForgotten: 2 as Version,
      changesForgotten: 1 as Version,
      inodes: 5,
      bytes: 2 ** 40,
      trashed: 0,
      pins: 1,
      forks: 2,
      policies: 0,
      changeBytes: 900,
      commands: 12,
      batches: 4,
      flushes: 3,
      reads: 100,
      rowsRead: 300,
      queued: 0,
      store: { rows: 77, fileBytes: 65_536, mapBytes: 2 ** 36 },
      families: [{ family: 'inode', rows: 8, isExact: true }],
    },
  ],
  collect: [
    {
      rows: [
        { kind: 'upload', what: `upload ${upload}`, state: 'waiting', dueMs: 1_760_000_000_000, why: 'it is open for /runs/7' },
        { kind: 'body', what: 'generation 7 of inode 9', state: 'held', why: 'a snapshot, tag or fork may still show it' },
      ],
      more: true,
      slices: 0,
      blocksRemoved: 0,
      isUnfinished: false,
    },
    {
      rows: [
        {
          kind: 'extent',
          what: `blocks of upload ${upload}`,
          state: 'due',
          dueMs: 1_760_000_000_000,
          why: 'nothing knows them',
          blocks: 2,
          bytes: 5_000_000,
        },
      ],
      more: false,
      slices: 3,
      blocksRemoved: 7,
      bytesRemoved: 29_360_128,
      due: { rows: 1, blocks: 2, bytes: 5_000_000 },
      moved: { bodies: 40, bytes: 2_000_000 },
      listed: { objects: 12, bytes: 50_331_648, isWhole: true },
      isUnfinished: true,
    },
  ],
  ...historyAnswers(attributes),
};

const ITEMS: { readonly [Op in StreamOperation]: readonly ItemOf<Op>[] } = {
  watch: [
    { kind: 'durable', version: 12 as Version },
    { kind: 'changes', changes: [change, leanChange], next: 78 as Version },
  ],
  diff: DIFF_ITEMS,
  backup: [
    { kind: 'progress', rows: 12_000, bytes: 4_194_304 },
    { kind: 'done', version: 78 as Version, rows: 12_001, bytes: 4_194_400, blocks: 2, digest: 'ab'.repeat(32) },
  ],
  fsck: [
    { kind: 'progress', pass: 'inodes', rows: 20_000, rowsTotal: 90_000, cursor: 'inodes.10000000000000002a' },
    {
      kind: 'finding',
      severity: 'error',
      class: 'nlink',
      where: 'inode 9',
      path: '/runs/7/model.bin',
      expected: '2: entry 1/a, entry 1/b',
      found: '3',
      repair: 'done',
    },
    {
      kind: 'finding',
      severity: 'warning',
      class: 'queue',
      where: 'row 60',
      expected: 'work of a known kind',
      found: 'none',
      repair: 'none',
    },
    { kind: 'done', rows: 90_001, findings: 2, repaired: 1 },
  ],
  'lock-wait': [
    { kind: 'waiting', why: 'session x holds it' },
    { kind: 'locked', version: 12 as Version, ino: ino(9) },
  ],
  'watch-path': [
    { kind: 'position', root: path, at: { version: 12 as Version, ordinal: 0xffff } },
    { kind: 'position', root: { ino: ino(9) }, at: { version: 12 as Version, ordinal: 0 } },
    { kind: 'events', events: [moved, leanMoved], at: { version: 78 as Version, ordinal: 2 } },
  ],
};

const MUTATION: EnvelopeOf<'mkdir'> = {
  deadlineMs: 30_000,
  traceId: '',
  requestId: '0123456789abcdef0123456789abcdef' as RequestId,
  actor: 'trainer',
  acknowledgement: 'durable',
  attemptAgeMs: 90_061_001,
};

function envelopeFor(operation: Operation, variant: number): EnvelopeOf<Operation> {
  const common = { deadlineMs: variant === 0 ? 0 : 30_000, traceId: variant === 0 ? '' : '4bf92f3577b34da6a3ce929d0e0e4736' };
  const { kind } = definitionOf<Operation>(operation);
  if (kind === 'stream') return { ...common, credit: 32 };
  if (kind === 'service') return common as EnvelopeOf<Operation>;
  const acting = operation === 'stat' || operation === 'unlink' ? { caller: { uid: 1001, gid: 100, groups: [4, 70_000] } } : {};
  if (kind === 'read') return { ...common, visible: variant === 1, ...(variant === 1 ? acting : {}) };
  return { ...acting, ...MUTATION, ...common, acknowledgement: variant === 1 ? 'visible' : 'durable' };
}

/** Every message with the name of its vector. */
export function goldenMessages(): readonly { readonly name: string; readonly message: Message }[] {
  const messages: { name: string; message: Message }[] = [
    {
      name: 'hello',
      message: { frame: 'hello', hello: { versions: { min: 4, max: 4 }, features: [], client: 'nokv/0.1.0', frameBytesMax: 4_194_304 } },
    },
    {
      name: 'hello with a token',
      message: {
        frame: 'hello',
        hello: { versions: { min: 1, max: 4 }, features: ['x'], client: 'c', token: 'secret', frameBytesMax: 131_072 },
      },
    },
    {
      name: 'hello-ack',
      message: {
        frame: 'helloAck',
        hello: {
          version: 4,
          features: [],
          server: 'nokv/0.1.0',
          frameBytesMax: 4_194_304,
          inFlightMax: 4096,
          streamsMax: 256,
          shardMapRevision: 0,
          incarnation: { id: '0123456789abcdef01234567', opened: 1_048_577 as Version },
        },
      },
    },
    { name: 'cancel', message: { frame: 'cancel', stream: 7 } },
    { name: 'end', message: { frame: 'end', stream: 0xffffffff } },
    { name: 'credit', message: { frame: 'credit', stream: 7, items: 16 } },
    { name: 'ping', message: { frame: 'ping', mark: 5 } },
    { name: 'pong', message: { frame: 'pong', mark: 5 } },
    {
      name: 'goaway',
      message: {
        frame: 'goaway',
        stream: 0,
        error: { code: 'draining', kind: 'unavailable', outcome: 'not-applied', message: 'shutting down' },
      },
    },
    {
      name: 'error',
      message: {
        frame: 'error',
        stream: 9,
        error: {
          code: 'not-found',
          kind: 'not-found',
          outcome: 'not-applied',
          message: 'no "/é"',
          details: { path: '/é', ino: 5, ratio: 0.5, deep: null, ok: true },
        },
      },
    },
    {
      name: 'error of unknown outcome',
      message: {
        frame: 'error',
        stream: 9,
        error: { code: 'connection-lost', kind: 'unavailable', outcome: 'unknown', message: 'x'.repeat(300) },
      },
    },
  ];
  for (const [operation, samples] of Object.entries(ARGS) as [Operation, readonly unknown[]][]) {
    samples.forEach((args, variant) => {
      messages.push({
        name: `request ${operation} ${variant}`,
        message: { frame: 'request', stream: variant + 1, operation, envelope: envelopeFor(operation, variant), args },
      });
    });
  }
  for (const [operation, samples] of Object.entries(ANSWERS) as [Operation, readonly unknown[]][]) {
    samples.forEach((answer, variant) => {
      messages.push({ name: `response ${operation} ${variant}`, message: { frame: 'response', stream: variant + 1, operation, answer } });
    });
  }
  for (const [operation, items] of Object.entries(ITEMS) as [StreamOperation, readonly unknown[]][]) {
    items.forEach((answer, variant) => {
      messages.push({ name: `item ${operation} ${variant}`, message: { frame: 'item', stream: 3, operation, answer } });
    });
  }
  return messages;
}
