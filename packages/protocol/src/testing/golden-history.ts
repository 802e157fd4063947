/** Golden arguments and answers of the operations of history. */
import type {
  Attributes,
  DiffNode,
  Generation,
  HistoryMutationOperations,
  HistoryReadOperations,
  InodeNumber,
  PinId,
  PinInfo,
  Version,
} from '@nokv/types';
import type { AnswerOf, ArgsOf, ItemOf } from '../wire-operations.js';

type HistoryOperation = keyof HistoryReadOperations | keyof HistoryMutationOperations;

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const ino = (n: number): InodeNumber => n as InodeNumber;
const pin = (n: number): PinId => n as PinId;
const generation = (n: number): Generation => n as Generation;
const version = (n: number): Version => n as Version;
const place = { parent: ino(1), name: bytes('run') };
const path = { path: bytes('/runs/7') };
const time = { sec: 1_760_000_000, nsec: 123_456_789 };
const owner = { uid: 1000, gid: 100 };

const snapshot: PinInfo = {
  id: pin(2 ** 40),
  kind: 'snapshot',
  root: ino(9),
  path: bytes('/runs/7'),
  version: version(2 ** 40),
  createdAt: time,
  expiresAt: { sec: 1_760_600_000, nsec: 0 },
  name: 'before the sweep',
  labels: [
    { key: 'run', value: '7' },
    { key: 'state', value: '' },
  ],
  actor: 'agent:évaluator',
};
const tag: PinInfo = {
  id: pin(1),
  kind: 'tag',
  root: ino(1),
  path: bytes('/'),
  version: version(1),
  createdAt: { sec: 0, nsec: 0 },
  name: 'v1.0',
  labels: [],
  actor: '',
};
const fork: PinInfo = {
  id: pin(2),
  kind: 'fork',
  root: ino(9),
  path: bytes('/runs/7'),
  version: version(2),
  createdAt: time,
  labels: [],
  actor: 'a',
};

const node: DiffNode = { ino: ino(7), type: 'file', size: 5, mode: 0o644, generation: generation(40), digest: 'sha256:aa' };
const directory: DiffNode = { ino: ino(8), type: 'directory', size: 0, mode: 0o1777, generation: generation(0) };
const body = { ino: ino(7), path: bytes('/runs/7/log.txt'), generation: generation(40), ordinal: 3, bytes: 2 ** 33 };

/** Of reads that take a moment, with each kind of one. */
export const AT_ARGS: readonly ArgsOf<'stat'>[] = [
  { node: path, at: { snapshot: pin(2 ** 40) } },
  { node: path, at: { tag: 'v1.0' } },
  { node: path, follow: false, at: { version: version(0) } },
  { node: path, at: { time: { sec: -1, nsec: 5 } } },
];

export const HISTORY_ARGS: { readonly [Op in HistoryOperation | 'diff']: readonly ArgsOf<Op>[] } = {
  pins: [{ limit: 1 }, { kind: 'tag', root: path, after: pin(5), limit: 1000 }],
  pin: [{ pin: { snapshot: pin(1) } }, { pin: { tag: 'best' } }],
  log: [
    { node: path, limit: 100 },
    { node: { ino: ino(7) }, before: generation(40), limit: 1 },
  ],
  'retention-get': [{ node: place }],
  'prune-plan': [
    { node: path, limit: 1000 },
    { node: path, keepLast: 0, keepMs: 86_400_000, cursor: bytes('\u0001'), limit: 1 },
  ],
  'version-at': [{ at: { tag: 'best' } }],
  'snapshot-create': [
    { node: path, ttlMs: 604_800_000 },
    { node: path, ttlMs: 1, name: 'n', labels: [{ key: 'k', value: 'v' }] },
  ],
  'snapshot-renew': [{ snapshot: pin(7), ttlMs: 60_000 }],
  'snapshot-retire': [{ snapshot: pin(7) }],
  'tag-set': [
    { name: 'best', node: path },
    { name: 'best', node: path, at: { snapshot: pin(7) }, ifPin: 0, labels: [] },
    { name: 'best', node: path, ifPin: pin(12) },
  ],
  'tag-remove': [{ name: 'best' }, { name: 'best', ifPin: pin(12) }],
  clone: [
    { ...owner, from: path, to: place },
    { ...owner, from: { ino: ino(9) }, at: { version: version(40) }, to: path, parents: true },
  ],
  rollback: [{ node: path, at: { snapshot: pin(7) }, undoTtlMs: 604_800_000 }],
  revert: [
    { node: path, generation: generation(40) },
    { node: path, generation: generation(40), ifGeneration: generation(41) },
  ],
  undelete: [
    { ...owner, entry: path },
    { ...owner, entry: place, at: { version: version(40) }, to: path },
  ],
  prune: [{ node: path, keepLast: 2, limit: 256 }],
  'retention-set': [{ node: path }, { node: path, policy: { keepLast: 3, keepMs: 3_600_000 } }],
  merge: [{ fork: path }, { fork: path, into: { ino: ino(9) }, dryRun: true }],
  diff: [
    { a: { node: path }, b: { node: path, at: { tag: 'best' } } },
    { a: { node: path, at: { snapshot: pin(7) } }, b: { node: place } },
  ],
};

const committed = <R>(result: R): { version: Version; result: R } => ({ version: version(2 ** 40), result });

export function historyAnswers(attributes: Attributes): { readonly [Op in HistoryOperation]: readonly AnswerOf<Op>[] } {
  return {
    pins: [
      { pins: [], more: false },
      { pins: [tag, fork, snapshot], more: true },
    ],
    pin: [snapshot],
    log: [
      {
        ino: ino(7),
        rows: [
          {
            generation: generation(41),
            ordinal: 2,
            size: 5,
            digest: 'sha256:aa',
            contentType: 'text/plain',
            producer: 'trainer',
            actor: 'cli',
            time,
            isCurrent: true,
          },
          { generation: generation(40), ordinal: 1, size: 0, actor: '', time, isCurrent: false },
        ],
        more: false,
      },
    ],
    'retention-get': [
      { policy: { keepLast: 1, keepMs: 86_400_000 }, from: 0 as InodeNumber },
      { policy: { keepLast: 0, keepMs: 0 }, from: ino(9) },
    ],
    'prune-plan': [{ bodies: [] }, { bodies: [body], cursor: bytes('next') }],
    'version-at': [{ version: version(40) }],
    'snapshot-create': [committed({ pin: snapshot })],
    'snapshot-renew': [committed({ pin: snapshot })],
    'snapshot-retire': [committed({ pin: snapshot })],
    'tag-set': [committed({ pin: tag })],
    'tag-remove': [committed({ pin: tag })],
    clone: [committed({ attributes, created: true })],
    rollback: [committed({ attributes, undo: snapshot, restored: version(40) })],
    revert: [committed({ attributes, generation: generation(42), created: false })],
    undelete: [committed({ attributes, created: true })],
    prune: [committed({ bodies: [body] })],
    'retention-set': [committed({ ino: ino(9) })],
    merge: [
      committed({ applied: true, changes: 3, conflicts: [], conflictCount: 0 }),
      committed({
        applied: false,
        changes: 3,
        conflicts: [
          {
            path: bytes('src/a.txt'),
            fork: 'modified',
            live: 'removed',
            baseGeneration: generation(40),
            liveGeneration: generation(0),
            forkGeneration: generation(44),
          },
        ],
        conflictCount: 2000,
      }),
    ],
  };
}

export const DIFF_ITEMS: readonly ItemOf<'diff'>[] = [
  { rows: [], versions: { a: version(40), b: version(41) } },
  {
    rows: [
      { kind: 'added', path: bytes('new'), b: directory, attributes: [] },
      { kind: 'removed', path: Uint8Array.of(0xff), a: node, attributes: [] },
      { kind: 'renamed', path: bytes('b/x'), fromPath: bytes('a/x'), a: node, b: node, attributes: ['mode', 'mtime'] },
      { kind: 'attributes', path: new Uint8Array(), a: directory, b: directory, attributes: ['owner', 'xattrs', 'target', 'device'] },
    ],
    versions: { a: version(0), b: version(2 ** 40) },
  },
];
