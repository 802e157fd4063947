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
  /** `WARN`: it works without, see the consequence. */
  readonly result: 'PASS' | 'WARN' | 'FAIL';
  readonly found: string;
  readonly fix: string | null;
  /** What follows from what was found. */
  readonly consequence?: string;
}

type Check = (call: Doctor) => Promise<Omit<Finding, 'check'>>;

export async function doctor(call: Doctor): Promise<void> {
  let looked = 0;
  let failed = 0;
  for await (const finding of findingsOf(call)) {
    looked += 1;
    if (finding.result === 'FAIL') failed += 1;
    await show(call, finding);
  }
  await call.output.flush();
  if (failed > 0) throw new NokvError('unavailable', `${failed} of ${looked} checks failed; each says how to mend it`);
}

/** Who asks about a store or a coordinator asks about that: this machine's mounts, and a server that nobody named, are no part of it. */
async function* findingsOf(call: Doctor): AsyncGenerator<Finding> {
  const { object, control } = call.flags;
  const isAboutParts = object !== undefined || control !== undefined;
  const isServerNamed = call.settings.resolve('server').source !== 'default';
  const checks: Record<string, Check> = {
    node: checkNode,
    ...(isAboutParts ? {} : { '/dev/fuse': checkDevice, mounting: checkMounting }),
    ...(isAboutParts && !isServerNamed ? {} : { server: checkServer }),
    ...(control === undefined ? {} : { control: checkControl }),
  };
  for (const [check, run] of Object.entries(checks)) yield { check, ...(await run(call)) };
  if (object !== undefined) yield* checkStore(call, object);
}

async function show({ output }: Doctor, finding: Finding): Promise<void> {
  const { check, result, found, fix, consequence } = finding;
  const paint = { PASS: output.colors.green, WARN: output.colors.yellow, FAIL: output.colors.red }[result];
  const more = [consequence === undefined ? [] : `so: ${consequence}`, fix === null ? [] : `fix: ${fix}`].flat();
  await output.result(finding, `${paint(result)}  ${check.padEnd(16)}  ${found}${more.map((line) => `\n      ${line}`).join('')}`);
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
  'no-space': 'free space, or raise the quota',
};

/** One finding for each capability, and last one for the store as a whole. */
async function* checkStore(call: Doctor, url: string): AsyncGenerator<Finding> {
  const { io, signal } = call;
  const { probeStore } = await import('@nokv/server');
  const problems: string[] = [];
  let description = '';
  let failure: NokvError | undefined;
  try {
    await using probe = await probeStore(url, { clock: io.clock, random: io.random, env: storeEnv(call), signal });
    ({ description } = probe);
    for await (const { capability, result, found, consequence, error } of probe.findings) {
      if (result === 'missing') problems.push(`${capability} (${found})`);
      failure ??= error;
      const fix = result === 'missing' ? storeFix(error?.code ?? 'store-unfit') : null;
      yield { check: capability, result: RESULTS[result], found, fix, consequence };
    }
  } catch (cause) {
    failure = toNokvError(cause);
    if (failure.code === 'cancelled') throw failure;
  }
  if (failure !== undefined) yield { check: 'store', ...fail(failure.message, storeFix(failure.code)) };
  else if (problems.length > 0) yield { check: 'store', ...fail(`${description}: ${problems.join(', ')}`, storeFix('store-unfit')) };
  else yield { check: 'store', ...pass(`${description} does all that is needed`) };
}

const RESULTS = { there: 'PASS', lacking: 'WARN', missing: 'FAIL' } as const;

function storeFix(code: string): string {
  return STORE_FIXES[code] ?? 'see that the endpoint of the URL is right and the server is running';
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
