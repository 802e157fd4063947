/**
 * The programs that the tests start: each is installed when it is missing, or the test command ends with what to install.
 * Debian packages come from apt (as root); the S3 server is built from its Go module into a cache directory.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../prepare.mjs';

/** Program, the Debian package that brings it, and what it is for. */
const PROGRAMS = [
  ['etcd', 'etcd-server', 'the coordinator'],
  ['git', 'git', 'the mount'],
  ['sqlite3', 'sqlite3', 'the mount'],
  ['curl', 'curl', 'the S3 server script'],
  ['rg', 'ripgrep', 'the comparison of grep'],
  ['tar', 'tar', 'the mount'],
  ['mount', 'mount', 'the mount'],
];

/** @param {{ long?: boolean }} options the long tests want a second S3 server */
export async function ensureServices({ long = false } = {}) {
  const missing = PROGRAMS.filter(([program]) => !onPath(program));
  if (missing.length > 0) installPackages(missing);
  const script = join(root, 'scripts/services/versitygw.sh');
  step('bash', [script, 'install'], 'the S3 server could not be built: it needs Go 1.25 or newer, or python3 with venv');
  if (long)
    step('bash', [join(root, 'scripts/services/ceph-rgw.sh'), 'install'], 'the second S3 server of the long tests could not be installed');
}

function installPackages(missing) {
  const packages = [...new Set(missing.map(([, name]) => name))];
  const advice = `missing: ${missing.map(([program, , use]) => `${program} (${use})`).join(', ')}; install with: apt-get install ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) fail(advice);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  step('apt-get', ['update', '-qq'], advice, env);
  step('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], advice, env);
}

function onPath(program) {
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'].some((directory) => existsSync(join(directory, program)));
}

function step(command, args, advice, env = process.env) {
  const result = spawnSync(command, args, { stdio: ['ignore', 2, 2], env });
  if (result.status !== 0) fail(advice);
}

function fail(message) {
  process.stderr.write(`npm test: ${message}\n`);
  process.stdout.write('0 passed, 1 failed\n');
  process.exit(1);
}
