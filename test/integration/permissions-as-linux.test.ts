/**
 * Permission decisions beside the kernel's own: random operations by several users on a local directory and, on their behalf, on the
 * namespace. Every answer must be the same error or none, and both trees must be the same in the end. Needs root, as the mount's tests do.
 */
import { connect, type NokvClient } from '@nokv/client';
import { ERRNO, errnoOf, isNokvError, type Caller } from '@nokv/types';
import { spawn, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startClientFixture, type ClientFixture } from './client-fixture.js';

const CALLERS: readonly Caller[] = [
  { uid: 1000, gid: 100, groups: [] },
  { uid: 1001, gid: 101, groups: [100] },
  { uid: 1002, gid: 102, groups: [] },
];
const OWNERS = [0, 1000, 1001, 1002];
const GROUPS = [0, 100, 101, 102];

/** Where the kernel is stricter by its settings than POSIX, operations that these concern are left out. */
const setting = (name: string): boolean => fs.readFileSync(`/proc/sys/fs/${name}`, 'utf8').trim() !== '0';
const linksAreProtected = setting('protected_hardlinks');

type Operation =
  | { readonly op: 'mkdir' | 'create'; readonly path: string; readonly mode: number }
  | { readonly op: 'unlink' | 'rmdir' | 'read' | 'list' | 'stat' | 'lstat' | 'cut'; readonly path: string }
  | { readonly op: 'rename' | 'link'; readonly from: string; readonly to: string }
  | { readonly op: 'symlink'; readonly target: string; readonly path: string }
  | { readonly op: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly op: 'chown'; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly op: 'utimes'; readonly path: string; readonly sec: number };

/* -------------------------------------------------------------- the kernel */

/** Runs in a process of the user: one operation a line in, its errno name or "ok" out. */
const CHILD = `
  const fs = require('fs'); process.umask(0);
  const { O_CREAT, O_EXCL, O_WRONLY, O_TRUNC } = fs.constants;
  const run = (o) => {
    switch (o.op) {
      case 'mkdir': return fs.mkdirSync(o.path, o.mode);
      case 'create': return fs.closeSync(fs.openSync(o.path, O_CREAT | O_EXCL | O_WRONLY, o.mode));
      case 'unlink': return fs.unlinkSync(o.path);
      case 'rmdir': return fs.rmdirSync(o.path);
      case 'read': return fs.readFileSync(o.path);
      case 'list': return fs.readdirSync(o.path);
      case 'stat': return fs.statSync(o.path);
      case 'lstat': return fs.lstatSync(o.path);
      case 'cut': return fs.closeSync(fs.openSync(o.path, O_WRONLY | O_TRUNC));
      case 'rename': return fs.renameSync(o.from, o.to);
      case 'link': return fs.linkSync(o.from, o.to);
      case 'symlink': return fs.symlinkSync(o.target, o.path);
      case 'chmod': return fs.chmodSync(o.path, o.mode);
      case 'chown': return fs.chownSync(o.path, o.uid, o.gid);
      case 'utimes': return fs.utimesSync(o.path, o.sec, o.sec);
    }
  };
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { root, operation } = JSON.parse(line);
    for (const key of ['path', 'from', 'to']) if (operation[key] !== undefined) operation[key] = root + operation[key];
    let code = 'ok';
    try { run(operation); } catch (error) { code = error.code; }
    process.stdout.write(code + '\\n');
  });
`;

class KernelUser {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor({ uid, gid, groups }: Caller) {
    const list = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`;
    const words = [`--reuid=${uid}`, `--regid=${gid}`, list, process.execPath, '-e', CHILD];
    this.#child = spawn('setpriv', words, { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/' });
    this.#answers = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async run(root: string, operation: Operation): Promise<string> {
    this.#child.stdin?.write(`${JSON.stringify({ root, operation })}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the process of a user ended');
    return value;
  }

  end(): void {
    this.#child.kill();
  }
}

/* ----------------------------------------------------------- the namespace */

const NAMES_OF_ERRNO = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]));

async function ours(client: NokvClient, root: string, operation: Operation): Promise<string> {
  try {
    await run(client, root, operation);
    return 'ok';
  } catch (error) {
    if (!isNokvError(error) || error.code === 'internal') throw error;
    return NAMES_OF_ERRNO.get(errnoOf(error)) ?? error.code;
  }
}

async function run(client: NokvClient, root: string, o: Operation): Promise<unknown> {
  switch (o.op) {
    case 'mkdir':
      return client.mkdir(root + o.path, { mode: o.mode });
    case 'create': {
      const [answer] = await client.createMany([root + o.path], { mode: o.mode });
      if (answer?.ok === false) throw answer.error;
      return answer;
    }
    case 'unlink':
      return client.unlink(root + o.path);
    case 'rmdir':
      return client.rmdir(root + o.path);
    case 'read':
      return (await client.get(root + o.path)).bytes();
    case 'list':
      return client.listPage(root + o.path, { attributes: false });
    case 'stat':
      return client.stat(root + o.path);
    case 'lstat':
      return client.stat(root + o.path, { follow: false });
    case 'cut':
      return client.truncate(root + o.path, 0);
    case 'rename':
      return client.rename(root + o.from, root + o.to);
    case 'link':
      return client.link(root + o.from, root + o.to);
    case 'symlink':
      return client.symlink(o.target, root + o.path);
    case 'chmod':
      return client.chmod(root + o.path, o.mode);
    case 'chown':
      return client.setattr(root + o.path, { ...(o.uid < 0 ? {} : { uid: o.uid }), ...(o.gid < 0 ? {} : { gid: o.gid }) });
    case 'utimes': {
      const time = { sec: o.sec, nsec: 0 };
      return client.utimes(root + o.path, time, time);
    }
  }
}

/* -------------------------------------------------------------------- draws */

const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
/** Modes that let something through more often than not. */
const bits = fc.constantFrom(0, 1, 3, 4, 5, 6, 7, 7);
const mode = fc
  .tuple(fc.constantFrom(0, 0, 0, 0o1000, 0o2000, 0o4000, 0o6000), bits, bits, bits)
  // Set-gid without execution by the group is handled in one way by Linux since 6.1 and in another before.
  .map(([special, owner, group, other]) => special | (owner << 6) | ((group | ((special & 0o2000) === 0 ? 0 : 1)) << 3) | other);
const target = fc.constantFrom('a', '../a', 'b/c', '../../b', 'none');

const operation: fc.Arbitrary<Operation> = fc.oneof(
  // mkdir(2) takes no set-id bits; ours does, so that trees keep theirs.
  fc.record({ op: fc.constant('mkdir' as const), path, mode: mode.map((all) => all & 0o1777) }),
  fc.record({ op: fc.constant('create' as const), path, mode }),
  fc.record({ op: fc.constantFrom('unlink' as const, 'rmdir' as const, 'read' as const, 'list' as const), path }),
  fc.record({ op: fc.constantFrom('stat' as const, 'lstat' as const, 'cut' as const), path }),
  fc.record({ op: fc.constantFrom(...(linksAreProtected ? (['rename'] as const) : (['rename', 'link'] as const))), from: path, to: path }),
  fc.record({ op: fc.constant('symlink' as const), target, path }),
  fc.record({ op: fc.constant('chmod' as const), path, mode }),
  fc
    .record({ op: fc.constant('chown' as const), path, uid: fc.constantFrom(-1, ...OWNERS), gid: fc.constantFrom(-1, ...GROUPS) })
    // A change of nothing is none of ours.
    .filter(({ uid, gid }) => uid >= 0 || gid >= 0),
  fc.record({ op: fc.constant('utimes' as const), path, sec: fc.integer({ min: 1, max: 2_000_000_000 }) }),
);

/** What is there before: made by the superuser, then given away. */
const planted = fc.record({
  path,
  type: fc.constantFrom('file' as const, 'directory' as const, 'directory' as const),
  mode,
  uid: fc.constantFrom(...OWNERS),
  gid: fc.constantFrom(...GROUPS),
});
const step = fc.record({ who: fc.nat(CALLERS.length - 1), operation });

/* --------------------------------------------------------------------- test */

let fixture: ClientFixture;
let local: string;
let users: KernelUser[];
let clients: NokvClient[];
let runs = 0;
const met = new Map<string, number>();

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test acts for several users and must be run by root');
  fixture = await startClientFixture();
  local = fs.mkdtempSync(join(fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nokv-as-linux-'));
  fs.chmodSync(local, 0o755);
  users = CALLERS.map((caller) => new KernelUser(caller));
  clients = await Promise.all(CALLERS.map((as) => connect({ address: fixture.server.rpc, as })));
});
afterAll(async () => {
  for (const user of users ?? []) user.end();
  await Promise.all((clients ?? []).map((client) => client.close()));
  await fixture?.close();
  if (local !== undefined) fs.rmSync(local, { recursive: true, force: true });
});

test('every answer and every tree is the same', { timeout: 180_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      mode,
      fc.array(planted, { maxLength: 14, size: 'max' }),
      fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
      async (rootMode, plants, steps) => {
        const name = `/r${++runs}`;
        const root = local + name;
        await plant(root, name, rootMode | 0o111, plants);
        const history: string[] = [];
        for (const { who, operation: asked } of steps) {
          const kernel = await (users[who] as KernelUser).run(root, asked);
          const answer = await ours(clients[who] as NokvClient, name, asked);
          history.push(`${CALLERS[who]?.uid} ${JSON.stringify(asked)}: ${kernel}`);
          met.set(kernel, (met.get(kernel) ?? 0) + 1);
          expect(answer, history.join('\n')).toBe(kernel);
        }
        expect(await oursShown(name), history.join('\n')).toEqual(kernelShown(root));
        fs.rmSync(root, { recursive: true });
      },
    ),
    { numRuns: 150 },
  );
  // All kinds of answers were met: otherwise this shows little.
  for (const code of ['ok', 'EACCES', 'EPERM', 'ENOENT', 'EEXIST', 'ENOTDIR'])
    expect([code, met.get(code) ?? 0]).toEqual([code, expect.any(Number)]);
  expect(Math.min(...['ok', 'EACCES', 'EPERM'].map((code) => met.get(code) ?? 0))).toBeGreaterThan(30);
});

async function plant(
  root: string,
  name: string,
  rootMode: number,
  plants: readonly { path: string; type: string; mode: number; uid: number; gid: number }[],
) {
  const { client } = fixture;
  fs.mkdirSync(root);
  await client.mkdir(name);
  const made = new Set<string>();
  for (const { path: at, type } of plants) {
    try {
      if (type === 'file') fs.writeFileSync(root + at, 'body', { flag: 'wx' });
      else fs.mkdirSync(root + at);
    } catch {
      continue;
    }
    if (type === 'file') await client.put(name + at, 'body');
    else await client.mkdir(name + at);
    made.add(at);
  }
  for (const { path: at, mode: bitsOf, uid, gid } of plants) {
    if (!made.delete(at)) continue;
    fs.chownSync(root + at, uid, gid);
    fs.chmodSync(root + at, bitsOf);
    await client.chown(name + at, uid, gid);
    await client.chmod(name + at, bitsOf);
  }
  fs.chmodSync(root, rootMode);
  await client.chmod(name, rootMode);
}

type Shown = Record<string, readonly (string | number)[]>;

function kernelShown(root: string, at = '', found: Shown = {}): Shown {
  const card = fs.lstatSync(root + at);
  const type = card.isDirectory() ? 'directory' : card.isSymbolicLink() ? 'symlink' : 'file';
  found[at] = [type, card.mode & 0o7777, card.uid, card.gid, card.nlink, type === 'directory' ? 0 : card.size];
  if (type === 'directory') for (const name of fs.readdirSync(root + at).toSorted()) kernelShown(root, `${at}/${name}`, found);
  return found;
}

async function oursShown(root: string, at = '', found: Shown = {}): Promise<Shown> {
  const { type, mode: bitsOf, uid, gid, nlink, size } = await fixture.client.stat(root + at, { follow: false });
  found[at] = [type, bitsOf, uid, gid, nlink, size];
  if (type === 'directory') {
    for (const { name } of (await fixture.client.listPage(root + at)).entries) await oursShown(root, `${at}/${name}`, found);
  }
  return found;
}
