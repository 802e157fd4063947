/** The operations of a server's operator: checks, figures, background work. */
import {
  COLLECT_ROWS_MAX,
  FSCK_CLASSES,
  FSCK_CURSOR_BYTES_MAX,
  FSCK_PASSES,
  SHARDS_MAX,
  type CollectRow,
  type FamilyFigures,
  type ListedBlocks,
  type ShardFigures,
  type ShardId,
  type StoreFigures,
} from '@nokv/types';
import { boolean, choice, int, list, object, optional, tagged, text } from '../schema.js';
import type { AnswerOf, ItemOf } from '../wire-operations.js';
import { service, stream } from './definition.js';
import { count, label, version } from './values.js';

type ItemFields<Kind extends ItemOf<'fsck'>['kind']> = Omit<Extract<ItemOf<'fsck'>, { readonly kind: Kind }>, 'kind'>;

const FAMILIES_MAX = 256;
/** Escaped names are up to four times as long as their bytes. */
const PATH_TEXT_BYTES_MAX = 4 * 4096;
/** A few names, or where a row is. */
const FINDING_TEXT_BYTES_MAX = 64 * 1024;

export const fsckDefinition = stream(
  'fsck',
  145,
  { repair: choice(['none', 'safe', 'drop']), checksums: boolean, resume: optional(text(FSCK_CURSOR_BYTES_MAX)) },
  tagged<ItemOf<'fsck'>>({
    progress: object<ItemFields<'progress'>>({
      pass: choice(FSCK_PASSES),
      rows: count,
      rowsTotal: count,
      cursor: text(FSCK_CURSOR_BYTES_MAX),
    }),
    finding: object<ItemFields<'finding'>>({
      severity: choice(['error', 'warning']),
      class: choice(FSCK_CLASSES),
      where: text(FINDING_TEXT_BYTES_MAX),
      path: optional(text(PATH_TEXT_BYTES_MAX)),
      expected: text(FINDING_TEXT_BYTES_MAX),
      found: text(FINDING_TEXT_BYTES_MAX),
      repair: choice(['possible', 'none', 'done', 'failed']),
    }),
    done: object<ItemFields<'done'>>({ rows: count, findings: count, repaired: count }),
  }),
);

export const shardFiguresDefinition = service(
  'shard-figures',
  98,
  { rows: boolean },
  object<ShardFigures>({
    shard: int<ShardId>(0, SHARDS_MAX - 1),
    epoch: int(0),
    visible: version,
    durable: version,
    requestsForgotten: version,
    changesForgotten: version,
    inodes: count,
    bytes: count,
    trashed: count,
    pins: count,
    forks: count,
    policies: count,
    changeBytes: count,
    commands: count,
    batches: count,
    flushes: count,
    reads: count,
    rowsRead: count,
    queued: count,
    store: object<StoreFigures>({ rows: count, fileBytes: count, mapBytes: count }),
    families: list(object<FamilyFigures>({ family: label, rows: count, isExact: boolean }), FAMILIES_MAX),
  }),
);

export const collectDefinition = service(
  'collect',
  99,
  { dryRun: boolean, limit: int(1, COLLECT_ROWS_MAX) },
  object<AnswerOf<'collect'>>({
    rows: list(
      object<CollectRow>({
        kind: label,
        what: text(256),
        state: choice(['due', 'waiting', 'held']),
        dueMs: optional(count),
        why: text(8192),
        blocks: optional(count),
        bytes: optional(count),
      }),
      COLLECT_ROWS_MAX,
    ),
    more: boolean,
    slices: count,
    blocksRemoved: count,
    bytesRemoved: optional(count),
    due: optional(object<NonNullable<AnswerOf<'collect'>['due']>>({ rows: count, blocks: count, bytes: count })),
    moved: optional(object<NonNullable<AnswerOf<'collect'>['moved']>>({ bodies: count, bytes: count })),
    listed: optional(object<ListedBlocks>({ objects: count, bytes: count, isWhole: boolean })),
    isUnfinished: boolean,
  }),
);
