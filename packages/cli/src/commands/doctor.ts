/** `doctor`: what this machine and the server can do, with a fix for each thing that fails. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { NokvError, toNokvError } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient, storeEnv } from '../connection.js';
import type { otherCommands } from '../table/other-commands.js';

type Doctor = CallOf<typeof otherCommands.doctor>;

interface Finding {
  readonly check: string;
  readonly result: 'PASS' | 'FAIL';
  readonly found: string;
  readonly fix: string | null;
}

type Check = (call: Doctor) => Promise<Omit<Finding, 'check'>>;

export async function doctor(call: Doctor): Promise<void> {
  const { output, flags } = call;
  const checks: Record<string, Check> = {
    node: checkNode,
    '/dev/fuse': checkDevice,
    mounting: checkMounting,
    server: checkServer,
    ...(flags.object === undefined ? {} : { store: checkStore }),
    ...(flags.control === undefined ? {} : { control: checkControl }),
  };
  let failed = 0;
  for (const [check, run] of Object.entries(checks)) {
    const finding: Finding = { check, ...(await run(call)) };
    if (finding.result === 'FAIL') failed += 1;
    const paint = finding.result === 'PASS' ? output.colors.green : output.colors.red;
    await output.result(
      finding,
      `${paint(finding.result)}  ${check.padEnd(10)}  ${finding.found}${finding.fix === null ? '' : `\n      fix: ${finding.fix}`}`,
    );
  }
  await output.flush();
  if (failed > 0) throw new NokvError('unavailable', `${failed} of ${Object.keys(checks).length} checks failed; each says how to mend it`);
}

const pass = (found: string) => ({ result: 'PASS', found, fix: null }) as const;
const fail = (found: string, fix: string) => ({ result: 'FAIL', found, fix }) as const;

async function checkNode(): Promise<Omit<Finding, 'check'>> {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  return major > 20 || (major === 20 && minor >= 15) ? pass(`Node ${node}`) : fail(`Node ${node}`, 'install Node 20.15 or newer');
}

async function checkDevice(): Promise<Omit<Finding, 'check'>> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
    return pass('/dev/fuse can be opened');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    if (code === 'ENOENT') return fail('/dev/fuse is missing', 'load the module (modprobe fuse), or give the container --device /dev/fuse');
    return fail(`/dev/fuse: ${code}`, 'let this user read and write /dev/fuse (usually mode 0666)');
  }
}

async function checkMounting({ io }: Doctor): Promise<Omit<Finding, 'check'>> {
  if (process.getuid?.() === 0) return pass('root may mount');
  for (const directory of (io.env.PATH ?? '').split(delimiter)) {
    const program = join(directory, 'fusermount3');
    const isThere = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return pass(program);
  }
  return fail('fusermount3 is not on PATH and this user is not root', 'install fuse3 (apt-get install fuse3)');
}

async function checkServer(call: Doctor): Promise<Omit<Finding, 'check'>> {
  const address = call.settings.must('server');
  try {
    const startedMs = call.io.clock.monotonicMs();
    await using client = await connectClient(call);
    await client.statfs({ signal: call.signal });
    return pass(`${address} answers and speaks our protocol (${Math.ceil(call.io.clock.monotonicMs() - startedMs)} ms)`);
  } catch (cause) {
    const error = toNokvError(cause);
    if (error.code === 'cancelled') throw error;
    if (error.code === 'unsupported-version') return fail(`${address}: ${error.message}`, 'use a client and a server of one release');
    if (error.kind === 'denied') return fail(`${address}: ${error.message}`, 'give a valid token with --token-file');
    return fail(`${address}: ${error.message}`, 'start one with "nokv serve", or correct --server');
  }
}

const STORE_FIXES: Readonly<Record<string, string>> = {
  'no-bucket': 'make the bucket, or correct its name in the URL',
  'bad-credentials': 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to keys of this store',
  'permission-denied': 'allow these keys to read, write, list and delete in the bucket',
  'store-unfit': 'use a store that honours If-None-Match on PUT, ranges, and listing after writing',
  'bad-configuration': 'write file:///dir or s3://bucket/prefix?endpoint=URL&region=R&pathStyle=true',
};

async function checkStore(call: Doctor): Promise<Omit<Finding, 'check'>> {
  const { flags, io } = call;
  const { probeStore } = await import('@nokv/server');
  try {
    return pass(
      `${await probeStore(flags.object ?? '', { clock: io.clock, random: io.random, env: storeEnv(call) })} does all that is needed`,
    );
  } catch (cause) {
    const error = toNokvError(cause);
    return fail(error.message, STORE_FIXES[error.code] ?? 'see that the endpoint of the URL is right and the server is running');
  }
}

async function checkControl({ flags, io }: Doctor): Promise<Omit<Finding, 'check'>> {
  const { probeControl } = await import('@nokv/server');
  try {
    return pass(`${await probeControl(flags.control ?? '', { clock: io.clock, random: io.random })} answers`);
  } catch (cause) {
    const error = toNokvError(cause);
    const fix = error.kind === 'invalid' ? 'write etcd://host:2379/prefix' : 'see that etcd is running and that its address is right';
    return fail(error.message, fix);
  }
}
