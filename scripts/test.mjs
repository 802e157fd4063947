/**
 * `npm test [-- [FILTER…] [--long] [--seeds=N] [--first-seed=N]]`: installs and builds what is needed, makes sure that the real services are on the
 * machine, runs the checks and every test, and ends with one line `N passed, N failed[, N skipped]`. The seeds are those of
 * the simulation (test/simulation/README.md).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepare, root } from './prepare.mjs';
import { ensureServices } from './services/ensure.mjs';

const FLAGS = /^--(?:long|(seeds|first-seed)=(\d+))$/;
const args = process.argv.slice(2).filter((arg) => !FLAGS.test(arg));
const long = process.argv.includes('--long');
const seeds = Object.fromEntries(
  process.argv.flatMap((arg) => {
    const [, name, value] = FLAGS.exec(arg) ?? [];
    return name === undefined ? [] : [[name === 'seeds' ? 'NOKV_SIM_SEEDS' : 'NOKV_SIM_FIRST', value]];
  }),
);
const total = { passed: 0, failed: 0, skipped: 0 };

prepare();
await ensureServices({ long });

if (args.length === 0) {
  const { runChecks } = await import('./check.mjs');
  for (const { name, problems } of runChecks()) {
    if (problems === '') total.passed += 1;
    else {
      total.failed += 1;
      process.stdout.write(`FAIL  check: ${name}\n${problems}\n`);
    }
  }
}

const directory = mkdtempSync(join(tmpdir(), 'nokv-test-'));
try {
  const report = join(directory, 'report.json');
  const status = await vitest(['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args]);
  count(report, status);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed > 0 ? 1 : 0;

/** Runs vitest; a signal to us is passed on, so that tests can clean up. */
function vitest(argv) {
  const child = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), ...argv], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, NODE_ENV: 'test', ...(long ? { NOKV_TEST_LONG: '1' } : {}), ...seeds },
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

function count(path, status) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    process.stdout.write(`the test runner left no report (${error.message}); it ended with ${status}\n`);
    total.failed += 1;
    return;
  }
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests;
  total.skipped += report.numPendingTests + report.numTodoTests;
  // A file that could not be loaded, or whose set-up failed, counts as a failure though none of its tests ran.
  for (const file of report.testResults) {
    if (file.status === 'failed' && !file.assertionResults.some(({ status: one }) => one === 'failed')) {
      total.failed += 1;
      process.stdout.write(`FAIL  ${file.name}: ${file.message}\n`);
    }
    for (const test of file.assertionResults) if (test.status === 'pending') process.stdout.write(`skipped: ${test.fullName}\n`);
  }
  if (status !== 0 && total.failed === 0) {
    process.stdout.write(`the test runner ended with ${status} though every test passed\n`);
    total.failed += 1;
  }
}
