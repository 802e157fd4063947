/** What a check of a shard asks and finds: plain data that the engine makes, the wire carries and the CLI prints. */

/**
 * The kinds of damage that a check tells apart. Stable words: scripts match them.
 *
 * - Names: `entry-without-inode`, `entry-without-directory`, `entry-type`, `entry-attributes` (the copy of the attributes in an
 *   entry), `orphan` (an inode that no entry names), `place` (an inode's own note of its name), `nlink`, `directory-names` (a
 *   directory with several names), `link-rows`, `children`, `cycle` (directories that lead to no root)
 * - Attributes: `xattr-without-inode`, `xattr-bytes`, `size`
 * - Bodies: `body-missing`, `body-unowned` (neither current nor waiting for its end), `extent-references`, `extent-missing`,
 *   `extent-unowned`, `upload-unqueued` (an upload row that nothing will ever end), `block-missing`, `block-checksum`,
 *   `stray-object`
 * - The past: `pin` (snapshots and tags), `fork` (with the directories that show their origin), `policy` (of retention)
 * - Bookkeeping: `session` (sessions, locks and handles), `counters`, `history`, `log`, `queue`, `system`
 * - `undecodable`: a row whose bytes are not what its family holds; `unknown-family`: a key of no known family
 */
export const FSCK_CLASSES = [
  'entry-without-inode',
  'entry-without-directory',
  'entry-type',
  'entry-attributes',
  'orphan',
  'place',
  'nlink',
  'directory-names',
  'link-rows',
  'children',
  'cycle',
  'xattr-without-inode',
  'xattr-bytes',
  'size',
  'body-missing',
  'body-unowned',
  'extent-references',
  'extent-missing',
  'extent-unowned',
  'upload-unqueued',
  'block-missing',
  'block-checksum',
  'stray-object',
  'pin',
  'fork',
  'policy',
  'session',
  'counters',
  'history',
  'log',
  'queue',
  'system',
  'undecodable',
  'unknown-family',
] as const;

export type FsckClass = (typeof FSCK_CLASSES)[number];

/** `error`: something cannot be reached, read or trusted. `warning`: room that is lost or a row that nothing reads. */
export type FsckSeverity = 'error' | 'warning';

/** `failed`: tried and refused, mostly because what it concerns changed meanwhile; check again. */
export type FsckRepair = 'possible' | 'none' | 'done' | 'failed';

export interface FsckFinding {
  readonly severity: FsckSeverity;
  readonly class: FsckClass;
  /** What it concerns, such as `inode 17`, `entry 1/name`, `extent <upload id>` or `row 0x30 <hex of the key>`. */
  readonly where: string;
  /** A path that leads there now, where one does. */
  readonly path?: string;
  readonly expected: string;
  readonly found: string;
  readonly repair: FsckRepair;
}

/** The passes of a check, in their order. */
export const FSCK_PASSES = [
  'inodes',
  'entries',
  'names',
  'tree',
  'counters',
  'extents',
  'bodies',
  'pins',
  'holds',
  'logs',
  'blocks',
  'checksums',
] as const;

export type FsckPass = (typeof FSCK_PASSES)[number];

export interface FsckProgress {
  readonly pass: FsckPass;
  /** Rows looked at since the beginning, and about how many there will be. */
  readonly rows: number;
  readonly rowsTotal: number;
  /** Where a later check may go on; findings after it may come twice. */
  readonly cursor: string;
}

export interface FsckSummary {
  readonly rows: number;
  readonly findings: number;
  readonly repaired: number;
}

export type FsckItem =
  | ({ readonly kind: 'progress' } & FsckProgress)
  | ({ readonly kind: 'finding' } & FsckFinding)
  | ({ readonly kind: 'done' } & FsckSummary);

export interface FsckArgs {
  /** `safe` mends what can be mended without a decision; `drop` also removes what leads nowhere: dangling entries, stray objects. */
  readonly repair: 'none' | 'safe' | 'drop';
  /** Read every block and compare its checksum. */
  readonly checksums: boolean;
  /** The cursor of an earlier check that was broken off. */
  readonly resume?: string;
}

/** A cursor names a pass and a key of at most 300 bytes in hex. */
export const FSCK_CURSOR_BYTES_MAX = 700;
