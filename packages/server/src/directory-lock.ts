/**
 * One serving process a data directory, without flock(2), which Node does not offer.
 *
 * Everyone who wants the directory first puts a claim into it (`lock-<pid>`, complete when it appears), then looks at the
 * other claims: a live one means to withdraw, a dead one is removed. Of two who hold at once, the one who looked last
 * would have seen the other's claim, which was there before its owner looked; so there is never more than one holder.
 * Two who start at the same moment may both withdraw; they look again after a random while.
 *
 * A claim is dead when its process is: no such pid, or another start time than the claim says, or another boot of this
 * machine. What runs on another machine or in another pid namespace cannot be looked at and counts as alive.
 */
import { link, open, readFile, readdir, readlink, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { NokvError, type Random } from '@nokv/types';

export interface DirectoryLock {
  release(): Promise<void>;
}

interface Claim {
  readonly pid: number;
  readonly host: string;
  /** Identify the process beyond its pid; empty where the platform does not say. */
  readonly boot: string;
  readonly namespace: string;
  readonly startedTicks: string;
}

const CLAIM_NAME = /^lock-(\d+)$/;
/** Simultaneous starters withdraw at most this often before the last claim seen is named as the holder. */
const LOOKS_MAX = 6;

/** Takes the lock or throws `directory-in-use`, naming the holder. */
export async function lockDirectory(directory: string, random: Random): Promise<DirectoryLock> {
  const claim = await ownClaim();
  const path = join(directory, `lock-${claim.pid}`);
  for (let look = 1; ; look++) {
    await putClaim(directory, path, claim);
    const holder = await findLiveClaim(directory, claim);
    if (holder === undefined) return { release: () => rm(path, { force: true }) };
    await rm(path, { force: true });
    if (look === LOOKS_MAX) throw inUse(directory, holder, claim);
    await delay(10 + random.float() * 40);
  }
}

async function putClaim(directory: string, path: string, claim: Claim): Promise<void> {
  const temporary = join(directory, `lock-${claim.pid}.new`);
  const file = await open(temporary, 'w', 0o644);
  try {
    await file.writeFile(`${JSON.stringify(claim)}\n`);
  } finally {
    await file.close();
  }
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Ours by pid: left by a dead process that had our pid, unless this very process serves from it already.
    const other = await readClaim(path);
    if (other !== undefined && other.startedTicks === claim.startedTicks && other.boot === claim.boot && other.host === claim.host) {
      throw inUse(directory, other, claim);
    }
    if (other !== undefined && (await isAlive(other, claim))) throw inUse(directory, other, claim);
    await rm(path, { force: true });
    await link(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function findLiveClaim(directory: string, own: Claim): Promise<Claim | undefined> {
  let live: Claim | undefined;
  for (const name of await readdir(directory)) {
    const match = CLAIM_NAME.exec(name);
    if (match === null || Number(match[1]) === own.pid) continue;
    const claim = await readClaim(join(directory, name));
    if (claim === undefined) continue;
    if (await isAlive(claim, own)) live = claim;
    else await rm(join(directory, name), { force: true });
  }
  return live;
}

/** Undefined when it has gone meanwhile. */
async function readClaim(path: string): Promise<Claim | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const value = JSON.parse(text) as Partial<Record<keyof Claim, unknown>>;
    const { pid, host, boot, namespace, startedTicks } = value;
    if (typeof pid === 'number') {
      return { pid, host: String(host), boot: String(boot), namespace: String(namespace), startedTicks: String(startedTicks) };
    }
  } catch {
    // Told below.
  }
  throw new NokvError('directory-in-use', `cannot tell who holds the lock file ${path}; remove it if no nokv serves from there`);
}

async function isAlive(claim: Claim, own: Claim): Promise<boolean> {
  if (claim.host !== own.host) return true;
  if (claim.boot !== own.boot) return false;
  if (claim.namespace !== own.namespace) return true;
  if (claim.startedTicks !== '') return (await startedTicksOf(claim.pid)) === claim.startedTicks;
  try {
    process.kill(claim.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function ownClaim(): Promise<Claim> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return { pid: process.pid, host: hostname(), boot: boot.trim(), namespace, startedTicks: (await startedTicksOf(process.pid)) ?? '' };
}

/** Field 22 of /proc/<pid>/stat (proc(5)); the second field may hold spaces and parentheses. A zombie counts as gone. */
async function startedTicksOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

function inUse(directory: string, holder: Claim, own: Claim): NokvError {
  const where = holder.host === own.host ? '' : ` on ${holder.host}`;
  const remedy =
    holder.host === own.host && holder.namespace === own.namespace
      ? 'stop it or give another --data'
      : `stop it or give another --data; if it is gone for good, remove ${join(directory, `lock-${holder.pid}`)}`;
  return new NokvError('directory-in-use', `the data directory ${directory} is in use by pid ${holder.pid}${where}; ${remedy}`, {
    details: { pid: holder.pid },
  });
}
