/** Schemas of the values of history: moments, pins, versions of a file, differences, conflicts. */
import {
  DIFF_ATTRIBUTES,
  DIFF_KINDS,
  PIN_KINDS,
  PIN_LABELS_MAX,
  SNAPSHOT_TTL_MS_MAX,
  type At,
  type DiffItem,
  type DiffKind,
  type DiffNode,
  type DiffRow,
  type DiffSide,
  type LogRow,
  type MergeConflict,
  type PinArgs,
  type PinId,
  type PinInfo,
  type PinKind,
  type PinLabel,
  type PrunedBody,
  type RetentionPolicy,
} from '@nokv/types';
import type { Schema } from '../schema.js';
import { boolean, bytes, coded, int, list, object, optional, text, unsendable } from '../schema.js';
import { count, digest, generation, inodeNumber, inodeType, label, nodeRef, permissions, timespec, version } from './values.js';

/** Below a root; places deeper than a path may be long are reached by parent and name, and are shown too. */
const RELATIVE_PATH_BYTES_MAX = 64 * 1024;
/** Rows of differences an item; the server sends fewer when their paths are long. */
export const DIFF_ROWS_MAX = 4096;

export const pinId: Schema<PinId> = int<PinId>(1);
/** Names of snapshots and tags, keys and values of labels. */
export const pinName: Schema<string> = text(255);
export const pinKind: Schema<PinKind> = coded(PIN_KINDS);
export const snapshotTtl: Schema<number> = int(1, SNAPSHOT_TTL_MS_MAX);
export const pinLabels: Schema<readonly PinLabel[]> = list(object<PinLabel>({ key: pinName, value: pinName }), PIN_LABELS_MAX);
export const relativePath: Schema<Uint8Array> = bytes(0, RELATIVE_PATH_BYTES_MAX);

const AT_KINDS = ['snapshot', 'tag', 'version', 'time'] as const;
const atKind = coded(AT_KINDS);

/** `[0, snapshot id]`, `[1, tag]`, `[2, version]` or `[3, time]` */
export const at: Schema<At> = {
  shape: { at: [pinId.shape, pinName.shape, version.shape, timespec.shape] },
  write: (to, value) => {
    to.arrayHeader(2);
    if ('snapshot' in value) {
      atKind.write(to, 'snapshot');
      pinId.write(to, value.snapshot);
    } else if ('tag' in value) {
      atKind.write(to, 'tag');
      pinName.write(to, value.tag);
    } else if ('version' in value) {
      atKind.write(to, 'version');
      version.write(to, value.version);
    } else if ('time' in value) {
      atKind.write(to, 'time');
      timespec.write(to, value.time);
    } else {
      throw unsendable('expected a moment: a snapshot, a tag, a version or a time');
    }
  },
  read: (from) => {
    if (from.arrayHeader() !== 2) throw from.invalid('expected the kind of a moment and its value');
    switch (atKind.read(from)) {
      case 'snapshot':
        return { snapshot: pinId.read(from) };
      case 'tag':
        return { tag: pinName.read(from) };
      case 'version':
        return { version: version.read(from) };
      case 'time':
        return { time: timespec.read(from) };
    }
  },
};

/** As {@link at}, of pins alone. */
export const pinRef: Schema<PinArgs['pin']> = {
  shape: { pin: [pinId.shape, pinName.shape] },
  write: (to, value) => at.write(to, value),
  read: (from) => {
    const moment = at.read(from);
    if ('snapshot' in moment || 'tag' in moment) return moment;
    throw from.invalid('expected a snapshot or a tag');
  },
};

export const pinInfo: Schema<PinInfo> = object<PinInfo>({
  id: pinId,
  kind: pinKind,
  root: inodeNumber,
  path: relativePath,
  version,
  createdAt: timespec,
  expiresAt: optional(timespec),
  name: optional(pinName),
  labels: pinLabels,
  actor: label,
});

export const logRow: Schema<LogRow> = object<LogRow>({
  generation,
  ordinal: count,
  size: count,
  digest: optional(digest),
  contentType: optional(label),
  producer: optional(label),
  actor: label,
  time: timespec,
  isCurrent: boolean,
});

export const retentionPolicy: Schema<RetentionPolicy> = object<RetentionPolicy>({ keepLast: count, keepMs: count });

export const prunedBody: Schema<PrunedBody> = object<PrunedBody>({
  ino: inodeNumber,
  path: relativePath,
  generation,
  ordinal: count,
  bytes: count,
});

export const diffSide: Schema<DiffSide> = object<DiffSide>({ node: nodeRef, at: optional(at) });
const diffKind: Schema<DiffKind> = coded(DIFF_KINDS);

const diffNode: Schema<DiffNode> = object<DiffNode>({
  ino: inodeNumber,
  type: inodeType,
  size: count,
  mode: permissions,
  generation,
  digest: optional(digest),
});

const diffRow: Schema<DiffRow> = object<DiffRow>({
  kind: diffKind,
  path: relativePath,
  fromPath: optional(relativePath),
  a: optional(diffNode),
  b: optional(diffNode),
  attributes: list(coded(DIFF_ATTRIBUTES), DIFF_ATTRIBUTES.length),
});

export const diffItem: Schema<DiffItem> = object<DiffItem>({
  rows: list(diffRow, DIFF_ROWS_MAX),
  versions: object<DiffItem['versions']>({ a: version, b: version }),
});

export const mergeConflict: Schema<MergeConflict> = object<MergeConflict>({
  path: relativePath,
  fork: diffKind,
  live: diffKind,
  baseGeneration: generation,
  liveGeneration: generation,
  forkGeneration: generation,
});
