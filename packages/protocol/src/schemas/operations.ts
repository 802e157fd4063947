/** The schemas of every operation. Codes are never reused; a change here raises the protocol's version. */
import type { Epoch, ListEntry, MutationOperation, ReadOperation, ShardId } from '@nokv/types';
import { accessDefinitions } from './access-operations.js';
import { mutation, read, service, stream, type MutationDefinition, type OperationDefinition } from './definition.js';
import { collectDefinition, fsckDefinition, shardFiguresDefinition } from './upkeep-operations.js';
import { backupDefinition } from './backup-operations.js';
import { diffDefinition, historyMutationDefinitions, historyReadDefinitions } from './history-operations.js';
import { at } from './history-values.js';
import {
  CIRCUIT_STATES,
  INODE_TYPES,
  LIST_LIMIT_MAX,
  NokvError,
  READ_MANY_BYTES_MAX,
  SPLICES_MAX,
  READ_MANY_MAX,
  SHARDS_MAX,
  UPLOAD_TTL_MS_MAX,
  XATTR_VALUE_BYTES_MAX,
  type InodeType,
  type ReadPlan,
} from '@nokv/types';
import type { Schema } from '../schema.js';
import { boolean, bytes, choice, int, list, object, optional, tagged, text } from '../schema.js';
import type {
  AnswerOf,
  ItemOf,
  Operation,
  ServerInfo,
  ServerStatus,
  ShardInfo,
  StoreStatus,
  WireMutationResult,
} from '../wire-operations.js';
import { WATCH_CHANGES_MAX } from '../wire-operations.js';
import { settled } from './error.js';
import { batchDefinition, transactDefinition } from './list-operations.js';
import { ListedSchemas, type ListedDefinition } from './listed.js';
import { pathChangesDefinition, watchPathDefinition } from './watch-operations.js';
import { lockWaitDefinition, sessionMutationDefinitions, sessionReadDefinitions } from './session-operations.js';
import {
  attributes,
  body,
  splice,
  changeRecord,
  count,
  digest,
  entryName,
  entryRef,
  generation,
  inodeNumber,
  inodeType,
  label,
  nodeCard,
  nodeRef,
  path,
  permissions,
  storedName,
  symlinkTarget,
  timeOrNow,
  timespec,
  upload,
  uploadTarget,
  userId,
  version,
  xattrName,
  xattrNames,
} from './values.js';

type Definitions = { readonly [Op in Operation]: OperationDefinition<Op> };

/** Which pages of a change log a reader may ask for at once. */
const CHANGES_LIMIT_MAX = 4096;
const TTL: Schema<number> = int(1, UPLOAD_TTL_MS_MAX);

const CREATE_TYPES: readonly InodeType[] = INODE_TYPES.filter((type) => type !== 'directory' && type !== 'symlink');
/** A type that `create` makes. */
const createType: Schema<InodeType> = {
  shape: { coded: CREATE_TYPES },
  write: (to, value) => inodeType.write(to, value),
  read: (from) => {
    const type = inodeType.read(from);
    if (!CREATE_TYPES.includes(type)) throw from.invalid(`expected one of ${CREATE_TYPES.join(', ')}, found ${type}`);
    return type;
  },
};

const created = object<WireMutationResult<'create'>>({ attributes, created: boolean });
const changed = object<WireMutationResult<'setattr'>>({ attributes });
const touched = object<WireMutationResult<'rmdir'>>({ ino: inodeNumber });
const ticketed = object<WireMutationResult<'begin-upload'>>({ upload, expiresAt: timespec, ticket: text(8192) });

const listEntry: Schema<ListEntry> = {
  shape: ['name', 'ino', 'type', { nilOr: 'attributes' }],
  write: (to, value) => {
    to.arrayHeader(4);
    storedName.write(to, value.name);
    inodeNumber.write(to, value.ino);
    inodeType.write(to, value.type);
    if (value.attributes === undefined) to.nil();
    else attributes.write(to, value.attributes);
  },
  read: (from) => {
    if (from.arrayHeader() !== 4) throw from.invalid('expected [name, inode, type, attributes or nil]');
    const entry = { name: storedName.read(from), ino: inodeNumber.read(from), type: inodeType.read(from) };
    if (!from.isNil()) return { ...entry, attributes: attributes.read(from) };
    from.nil();
    return entry;
  },
};

const shardInfo = object<ShardInfo>({
  shard: int<ShardId>(0, SHARDS_MAX - 1),
  epoch: int<Epoch>(0),
  visible: version,
  durable: version,
});

const serverStatus = object<ServerStatus>({
  isServing: boolean,
  durability: choice(['local', 'shared', 'async']),
  control: text(2048),
  pid: count,
  runtime: label,
  store: object<StoreStatus>({
    description: text(4096),
    circuit: choice(CIRCUIT_STATES),
    circuitMs: count,
    failure: optional(text(4096)),
    retries: count,
    opened: count,
  }),
});

/** Mutations of which a transaction and a batch may list some. */
const singleDefinitions: {
  readonly [
    Op in Exclude<MutationOperation, 'transact' | keyof typeof historyMutationDefinitions | keyof typeof sessionMutationDefinitions>
  ]: MutationDefinition<Op>;
} = {
  mkdir: mutation('mkdir', 32, { uid: userId, gid: userId, entry: entryRef, mode: permissions, parents: optional(boolean) }, created),
  create: mutation(
    'create',
    33,
    {
      uid: userId,
      gid: userId,
      entry: entryRef,
      mode: permissions,
      type: createType,
      rdev: optional(count),
      exclusive: boolean,
    },
    created,
  ),
  symlink: mutation('symlink', 34, { uid: userId, gid: userId, entry: entryRef, target: symlinkTarget }, created),
  link: mutation('link', 35, { node: nodeRef, entry: entryRef }, changed),
  unlink: mutation('unlink', 36, { entry: entryRef }, object<WireMutationResult<'unlink'>>({ ino: inodeNumber, nlink: count })),
  rmdir: mutation('rmdir', 37, { entry: entryRef }, touched),
  'remove-tree': mutation('remove-tree', 38, { entry: entryRef }, touched),
  rename: mutation('rename', 39, { from: entryRef, to: entryRef, mode: choice(['replace', 'no-replace', 'exchange']) }, touched),
  setattr: mutation(
    'setattr',
    40,
    {
      node: nodeRef,
      follow: optional(boolean),
      mode: optional(permissions),
      uid: optional(userId),
      gid: optional(userId),
      atime: optional(timeOrNow),
      mtime: optional(timeOrNow),
      size: optional(count),
    },
    changed,
  ),
  'xattr-set': mutation(
    'xattr-set',
    41,
    { node: nodeRef, name: xattrName, value: bytes(0, XATTR_VALUE_BYTES_MAX), mode: choice(['set', 'create', 'replace']) },
    touched,
  ),
  'xattr-remove': mutation('xattr-remove', 42, { node: nodeRef, name: xattrName }, touched),
  'begin-upload': mutation('begin-upload', 43, { target: uploadTarget, ttlMs: TTL }, ticketed),
  'renew-upload': mutation('renew-upload', 44, { upload, ttlMs: TTL }, ticketed),
  'end-upload': mutation('end-upload', 45, { upload }, object<WireMutationResult<'end-upload'>>({ upload })),
  publish: mutation(
    'publish',
    46,
    {
      uid: userId,
      gid: userId,
      node: nodeRef,
      body,
      digest: optional(digest),
      contentType: optional(label),
      producer: optional(label),
      upload: optional(upload),
      endUpload: optional(boolean),
      packed: optional(boolean),
      base: optional(inodeNumber),
      ifGeneration: optional(generation),
      ifDigest: optional(digest),
      parents: optional(boolean),
      mode: permissions,
      setMode: optional(boolean),
      mtime: optional(timespec),
      splices: optional(list(splice, SPLICES_MAX)),
      share: optional(boolean),
    },
    object<WireMutationResult<'publish'>>({ attributes, generation, created: boolean }),
  ),
  'begin-tree': mutation(
    'begin-tree',
    47,
    { uid: userId, gid: userId, mode: permissions, ttlMs: TTL },
    object<WireMutationResult<'begin-tree'>>({ root: inodeNumber, name: storedName }),
  ),
  'publish-tree': mutation(
    'publish-tree',
    48,
    { uid: userId, gid: userId, root: inodeNumber, to: entryRef, replace: boolean, parents: optional(boolean) },
    created,
  ),
};

const listed = new ListedSchemas(Object.values(singleDefinitions) as unknown as readonly ListedDefinition[]);

const mutationDefinitions: { readonly [Op in MutationOperation]: OperationDefinition<Op> } = {
  ...singleDefinitions,
  ...historyMutationDefinitions,
  ...sessionMutationDefinitions,
  transact: transactDefinition(listed),
};

const readPlan = object<ReadPlan>({ attributes, generation, digest: optional(digest), contentType: optional(label), body });

const readDefinitions: { readonly [Op in ReadOperation]: OperationDefinition<Op> } = {
  stat: read('stat', 1, { node: nodeRef, follow: optional(boolean), at: optional(at) }, nodeCard),
  lookup: read('lookup', 2, { parent: inodeNumber, name: entryName, at: optional(at) }, attributes),
  getattr: read('getattr', 3, { ino: inodeNumber, at: optional(at) }, attributes),
  list: read(
    'list',
    4,
    { node: nodeRef, after: optional(storedName), limit: int(1, LIST_LIMIT_MAX), attributes: boolean, at: optional(at) },
    object<AnswerOf<'list'>>({ directory: inodeNumber, entries: list(listEntry, LIST_LIMIT_MAX), more: boolean }),
  ),
  readlink: read('readlink', 5, { node: nodeRef, at: optional(at) }, object<AnswerOf<'readlink'>>({ target: symlinkTarget })),
  'path-of': read('path-of', 6, { ino: inodeNumber, at: optional(at) }, object<AnswerOf<'path-of'>>({ path })),
  'xattr-get': read(
    'xattr-get',
    7,
    { node: nodeRef, name: xattrName, at: optional(at) },
    object<AnswerOf<'xattr-get'>>({ value: bytes(0, XATTR_VALUE_BYTES_MAX) }),
  ),
  'xattr-list': read('xattr-list', 8, { node: nodeRef, at: optional(at) }, object<AnswerOf<'xattr-list'>>({ names: xattrNames })),
  'open-read': read('open-read', 9, { node: nodeRef, generation: optional(generation), at: optional(at) }, readPlan),
  statfs: read('statfs', 10, {}, object<AnswerOf<'statfs'>>({ bytesUsed: count, inodesUsed: count, bytesFree: count, inodesFree: count })),
  changes: read(
    'changes',
    11,
    { since: version, limit: int(1, CHANGES_LIMIT_MAX) },
    object<AnswerOf<'changes'>>({ changes: list(changeRecord, CHANGES_LIMIT_MAX), next: version }),
  ),
  ...historyReadDefinitions,
  ...sessionReadDefinitions,
  'stat-many': read(
    'stat-many',
    18,
    { nodes: list(nodeRef, READ_MANY_MAX), follow: optional(boolean), at: optional(at) },
    object<AnswerOf<'stat-many'>>({ answers: list(settled(nodeCard), READ_MANY_MAX) }),
  ),
  'read-many': read(
    'read-many',
    19,
    {
      nodes: list(nodeRef, READ_MANY_MAX),
      bytesMax: int(1, READ_MANY_BYTES_MAX),
      at: optional(at),
      generations: optional(list(generation, READ_MANY_MAX)),
    },
    object<AnswerOf<'read-many'>>({ answers: list(settled(readPlan), READ_MANY_MAX) }),
  ),
  'find-body': read(
    'find-body',
    21,
    { digest },
    object<AnswerOf<'find-body'>>({ ino: optional(inodeNumber), generation: optional(generation) }),
  ),
  'path-changes': pathChangesDefinition,
};

export const DEFINITIONS: Definitions = {
  ...readDefinitions,
  ...mutationDefinitions,
  batch: batchDefinition(listed),
  ...accessDefinitions,
  'server-info': service(
    'server-info',
    97,
    {},
    object<ServerInfo>({
      software: label,
      node: label,
      uptimeMs: count,
      http: text(1024),
      shards: list(shardInfo, SHARDS_MAX),
      status: optional(serverStatus),
    }),
  ),
  watch: stream(
    'watch',
    128,
    { since: optional(version) },
    tagged<ItemOf<'watch'>>({
      changes: object<Omit<Extract<ItemOf<'watch'>, { kind: 'changes' }>, 'kind'>>({
        changes: list(changeRecord, WATCH_CHANGES_MAX),
        next: version,
      }),
      durable: object<Omit<Extract<ItemOf<'watch'>, { kind: 'durable' }>, 'kind'>>({ version }),
    }),
  ),
  diff: diffDefinition,
  'watch-path': watchPathDefinition,
  'lock-wait': lockWaitDefinition,
  backup: backupDefinition,
  fsck: fsckDefinition,
  'shard-figures': shardFiguresDefinition,
  collect: collectDefinition,
};

const BY_CODE = new Map<number, OperationDefinition>(
  Object.values(DEFINITIONS).map((definition) => [definition.code, definition as unknown as OperationDefinition]),
);

export function definitionOf<Op extends Operation>(operation: Op): OperationDefinition<Op> {
  return DEFINITIONS[operation] as unknown as OperationDefinition<Op>;
}

export function definitionOfCode(code: number): OperationDefinition {
  const definition = BY_CODE.get(code);
  if (definition === undefined) {
    throw new NokvError('unknown-operation', `this side knows no operation with the code ${code}; it may be older than its peer`, {
      details: { code },
    });
  }
  return definition;
}
