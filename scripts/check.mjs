/**
 * `npm run check [-- --fix]`: format, lint, type-check, import directions and the house rules that a program can
 * check. With `--fix` the formatter writes. Exported for the test command, which runs it as its first step.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkImports } from './check-imports.mjs';
import { prepare, root } from './prepare.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);

/** @returns {{name: string, problems: string}[]} one row a check; `problems` is empty when it passed */
export function runChecks({ fix = false } = {}) {
  return [
    command('format', bin('oxfmt'), fix ? ['.'] : ['--check', '.']),
    command('lint', bin('oxlint'), ['--quiet', ...(fix ? ['--fix'] : [])]),
    command('types', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b']),
    { name: 'imports', problems: checkImports(root).join('\n') },
    { name: 'lock file', problems: checkLockFile() },
  ];
}

function command(name, program, args) {
  const result = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  return {
    name,
    problems:
      result.status === 0
        ? ''
        : `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}` || `ended with ${result.status}`,
  };
}

/** The lock file names packages and digests, never the host they came from. */
function checkLockFile() {
  const path = join(root, 'pnpm-lock.yaml');
  if (!existsSync(path)) return 'pnpm-lock.yaml is missing';
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line, i) => (/https?:\/\//.test(line) ? [`pnpm-lock.yaml:${i + 1}: ${line.trim()}`] : [])).join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  prepare();
  const rows = runChecks({ fix: process.argv.includes('--fix') });
  for (const { name, problems } of rows) process.stdout.write(problems === '' ? `ok    ${name}\n` : `FAIL  ${name}\n${problems}\n`);
  process.exitCode = rows.some(({ problems }) => problems !== '') ? 1 : 0;
}
