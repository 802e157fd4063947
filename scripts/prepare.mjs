/**
 * Makes a checkout ready to run: installs what the lock file names and builds what changed. Both steps are
 * skipped when nothing they depend on has changed, so that a start after the first costs milliseconds.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const installStamp = join(root, 'node_modules', '.nokv-installed');
const buildStamp = join(root, 'node_modules', '.nokv-built');

/** @param {{quiet?: boolean}} [options] */
export function prepare(options = {}) {
  checkNode();
  install(options);
  build(options);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`nokv needs Node 20.19 or newer, found ${process.versions.node}; install a newer Node and try again`);
  }
}

function packageDirectories() {
  return readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name));
}

function install({ quiet }) {
  const inputs = [
    join(root, 'pnpm-lock.yaml'),
    join(root, 'pnpm-workspace.yaml'),
    join(root, 'package.json'),
    join(root, 'test', 'package.json'),
  ];
  for (const directory of packageDirectories()) inputs.push(join(directory, 'package.json'));
  const hash = createHash('sha256');
  for (const input of inputs) if (existsSync(input)) hash.update(readFileSync(input)).update('\0');
  const wanted = hash.digest('hex');
  if (existsSync(installStamp) && readFileSync(installStamp, 'utf8') === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  run('npx', ['--yes', packageManager, 'install', '--frozen-lockfile'], quiet);
  writeFileSync(installStamp, wanted);
}

function build({ quiet }) {
  const newest = Math.max(
    ...packageDirectories().flatMap((directory) => [newestIn(join(directory, 'src')), mtime(join(directory, 'tsconfig.json'))]),
  );
  if (existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === String(newest) && existsSync(join(root, 'packages/cli/dist/main.js')))
    return;
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b'], quiet);
  writeFileSync(buildStamp, String(newest));
}

function newestIn(directory) {
  let newest = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? Math.max(newestIn(path), mtime(path)) : mtime(path));
  }
  return newest;
}

function mtime(path) {
  return statSync(path).mtimeMs;
}

/** Runs a step of the preparation; its output goes to stderr, so that stdout stays the program's own. */
function run(command, args, quiet) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', quiet ? 'pipe' : 2, 2], env: { ...process.env, CI: 'true' } });
  if (result.error !== undefined) fail(`could not run ${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${command} ${args.join(' ')} ended with ${result.status ?? result.signal}`);
}

function fail(message) {
  process.stderr.write(`nokv: ${message}\n`);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare();
