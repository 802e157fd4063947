/** The differences that somebody asked for, from what they call the two sides to items of bounded size. */
import type { DiffArgs, DiffItem, DiffRow, DiffSide, InodeNumber } from '@nokv/types';
import type { ShardView } from '../overlay.js';
import { notFound, resolveInode } from '../resolve.js';
import { diffNodes } from './diff.js';
import { DiffTrees, type DiffTreeNode } from './diff-node.js';
import { momentOf, versionAtTime, type Moment, type MomentBounds } from './moment.js';
import { PastView } from './past-view.js';
import { Unmaterialised } from './unmaterialised.js';

export interface DiffSource {
  readonly view: ShardView;
  readonly root: InodeNumber;
  readonly bounds: MomentBounds;
  readonly materialise: (missing: Unmaterialised) => Promise<void>;
  /** Throws when the shard may not answer any more. */
  readonly refuse: () => void;
}

const ROWS_AN_ITEM = 256;
/** Of paths. */
const BYTES_AN_ITEM = 512 * 1024;

export async function* diffItems(source: DiffSource, args: DiffArgs): AsyncGenerator<DiffItem> {
  const { view, root, bounds, refuse } = source;
  const trees = new DiffTrees(view, root);
  const a = await sideOf(source, trees, args.a);
  const b = await sideOf(source, trees, args.b);
  const versions = { a: a.view.version, b: b.view.version };
  const breathe = async (): Promise<void> => {
    await new Promise<void>((resolve) => setImmediate(resolve));
    refuse();
  };
  let rows: DiffRow[] = [];
  let bytes = 0;
  for (const row of diffNodes({ trees, log: view.kv, forgotten: bounds.forgotten }, a, b)) {
    if (row === undefined) {
      await breathe();
      continue;
    }
    rows.push(row);
    bytes += row.path.length + (row.fromPath?.length ?? 0);
    if (rows.length < ROWS_AN_ITEM && bytes < BYTES_AN_ITEM) continue;
    yield { rows, versions };
    refuse();
    rows = [];
    bytes = 0;
  }
  yield { rows, versions };
}

async function sideOf(source: DiffSource, trees: DiffTrees, side: DiffSide): Promise<DiffTreeNode> {
  const { version, pinned } = momentOfSide(source, side);
  const bound = new PastView(source.view, source.root, version, pinned);
  // Ends: each turn takes over one more directory on the way.
  for (;;) {
    try {
      const { ino } = resolveInode(bound, side.node, true);
      if (!bound.shows(ino)) throw notFound(side.node, 'it lies outside what the snapshot shows');
      return { view: trees.at(version), ino };
    } catch (error) {
      if (!(error instanceof Unmaterialised)) throw error;
      await source.materialise(error);
    }
  }
}

function momentOfSide({ view, bounds }: DiffSource, { at }: DiffSide): Moment {
  if (at === undefined) return { version: bounds.newest, pinned: undefined, isExact: true };
  if ('time' in at) return { version: versionAtTime(view.kv, at.time, bounds.newest, bounds.forgotten), pinned: undefined, isExact: false };
  return momentOf(view, at, bounds);
}
