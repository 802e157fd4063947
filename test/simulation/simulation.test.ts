/**
 * The engine under many seeds. `NOKV_SIM_SEEDS=N` and `NOKV_SIM_FIRST=S` choose how many and from where; README.md says how a seed
 * that failed is replayed.
 */
import { describe, expect, test } from 'vitest';
import { DELIBERATE_BUGS } from './deliberate-bugs.js';
import { simulate, type SimulationResult } from './world.js';

const LONG = process.env['NOKV_TEST_LONG'] === '1';
const SEEDS = Number(process.env['NOKV_SIM_SEEDS'] ?? (LONG ? 5000 : 300));
const FIRST = Number(process.env['NOKV_SIM_FIRST'] ?? 1);
/** What a normal run has to find a bug. */
const SEEDS_NORMAL = 300;

function report({ seed, violations, trace }: SimulationResult): string {
  return [
    ...violations,
    `replay: NOKV_SIM_SEEDS=1 NOKV_SIM_FIRST=${seed} npm test -- test/simulation`,
    `the last steps of ${trace.length}:`,
    ...trace.slice(-40),
  ].join('\n');
}

describe('a shard under simulation', () => {
  test(`holds over ${SEEDS} seeds from ${FIRST} on`, { timeout: 60_000 + SEEDS * 2000 }, async () => {
    const totals: Record<string, number> = {};
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulate({ seed });
      if (result.violations.length > 0) expect.fail(report(result));
      for (const [what, count] of Object.entries(result.counts)) totals[what] = (totals[what] ?? 0) + count;
    }
    console.log(`simulation: ${SEEDS} seeds from ${FIRST}: ${JSON.stringify(totals)}`);
    // A world in which nothing goes wrong shows nothing.
    for (const what of SEEDS >= 100 ? ['crashes', 'failures', 'blocksRemoved', 'images', 'fenced', 'strays'] : [])
      expect(totals[what]).toBeGreaterThan(0);
  });

  test('the same seed gives the same trace, another one another', { timeout: 60_000 }, async () => {
    const digests = new Set<string>();
    for (const seed of [FIRST, FIRST + 1, FIRST + 2]) {
      const once = await simulate({ seed });
      const again = await simulate({ seed });
      expect(again.trace).toEqual(once.trace);
      expect(again.digest).toBe(once.digest);
      digests.add(once.digest);
    }
    expect(digests.size).toBe(3);
  });
});

describe('a bug that was put in on purpose is found', () => {
  for (const bug of DELIBERATE_BUGS) {
    test(bug.name, { timeout: 120_000 }, async () => {
      for (let seed = 1; seed <= SEEDS_NORMAL; seed++) {
        const result = await simulate({ seed, bug });
        if (result.violations.length === 0) continue;
        console.log(`${bug.name}: found by seed ${seed}: ${result.violations[0]}`);
        const again = await simulate({ seed, bug });
        expect(again.digest).toBe(result.digest);
        return;
      }
      expect.fail(`${SEEDS_NORMAL} seeds did not find: ${bug.name}`);
    });
  }
});
