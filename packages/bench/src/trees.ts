/** Snapshots, clones, differences and rollbacks of a tree of a million files (quick: 200,000); how the costs grow with the tree. */
import { join } from 'node:path';
import { median, rounds, type Bench, type BenchContext } from './figure.js';
import { TreeCases } from './tree-cases.js';

const FILES = 1_000_000;
const FILES_QUICK = 200_000;
const GROWTH = [1_000, 10_000, 100_000, 1_000_000];
const GROWTH_QUICK = [1_000, 10_000, 100_000];

type Measure = (trees: TreeCases) => Promise<Record<string, number>>;

function treeBench(name: string, about: string, measure: Measure): Bench {
  return {
    name,
    about,
    async run(context) {
      const trees = await TreeCases.start(join(context.directory, name), context.quick ? FILES_QUICK : FILES);
      try {
        report(context, name, trees.files, await medians(context, () => measure(trees)));
      } finally {
        await trees.stop();
      }
    },
  };
}

export const cloneBench = treeBench('clone', 'snapshot and clone of a big tree, and the first touch in the clone', async (trees) => {
  const snapshot = await trees.snapshotMs();
  return { 'snapshot-ms': snapshot, ...renamed(await trees.cloneMs()) };
});

export const diffBench = treeBench('diff', 'the difference between a big tree and its snapshot, after 3 changes', async (trees) => ({
  'diff-3-changes-ms': await trees.diffMs(),
}));

export const rollbackBench = treeBench('rollback', 'a big tree put back as it was', async (trees) => ({
  'rollback-ms': await trees.rollbackMs(),
}));

export const growthBench: Bench = {
  name: 'growth',
  about: 'create, list, clone, diff and rollback by size of the tree, 10^3 to 10^6 (quick: to 10^5)',
  async run(context) {
    for (const files of context.quick ? GROWTH_QUICK : GROWTH) {
      const trees = await TreeCases.start(join(context.directory, `growth-${files}`), files);
      try {
        const listed = await trees.listRate();
        report(context, 'growth', files, { 'create-rate': trees.fillRate, 'list-rate': listed });
        const measured = await medians(context, async () => ({
          ...renamed(await trees.cloneMs()),
          'diff-3-changes-ms': await trees.diffMs(),
          'rollback-ms': await trees.rollbackMs(),
        }));
        report(context, 'growth', files, measured);
      } finally {
        await trees.stop();
      }
    }
  },
};

function renamed({ clone, firstTouch }: { readonly clone: number; readonly firstTouch: number }): Record<string, number> {
  return { 'clone-ms': clone, 'first-touch-ms': firstTouch };
}

async function medians(context: BenchContext, measure: () => Promise<Record<string, number>>): Promise<Record<string, number>> {
  const runs: Record<string, number>[] = [];
  for (let round = 0; round < rounds(context); round++) runs.push(await measure());
  const names = Object.keys(runs[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(runs.map((run) => run[name] ?? 0))]));
}

function report(context: BenchContext, bench: string, files: number, figures: Record<string, number>): void {
  for (const [name, value] of Object.entries(figures)) {
    const unit = name.endsWith('-ms') ? 'ms' : 'per s';
    context.report({ bench, case: name.replace(/-ms$/, ''), value, unit, conditions: { files, rounds: rounds(context), depth: 1 } });
  }
}
