/** `lock` and `lock list`. */
import type { ClientSession, HeldLock, NokvClient } from '@nokv/client';
import { LOCK_END_MAX, NokvError, formatTimespec, isNokvError, type LockHolder } from '@nokv/types';
import { basename } from 'node:path';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { columns } from '../output.js';
import { shortTime } from '../pin-view.js';
import { printable } from '../printable.js';
import { ProgramExit } from '../program-exit.js';
import { remotePath, showPath } from '../remote-path.js';
import { runProgram } from '../run-program.js';
import type { lockCommands } from '../table/lock-commands.js';
import { usageError } from '../usage-error.js';

type LockCall = CallOf<typeof lockCommands.lock>;

/** How long giving the lock back may take once the program has ended: its exit code waits for it. */
const CLOSE_TIMEOUT_MS = 5000;

export async function lock(call: LockCall): Promise<void> {
  const { args, flags, io, output, signal } = call;
  if (flags.nonblock && flags.wait !== undefined) throw usageError('--nonblock and --wait exclude each other; give one');
  const path = remotePath(args.path);
  await using client = await connectClient(call);
  const name = flags.name ?? basename(args.words[0] ?? '');
  const session = await client.openSession({ name, ttlMs: flags.ttl, signal });
  let code: number;
  try {
    await makeMissing(client, path, call);
    await take(session, path, call);
    output.detail(`locked ${showPath(path)} under session ${session.id}`);
    code = await runProgram(args.words, { io, stop: session.lost });
  } finally {
    const freed = session.close({ timeoutMs: CLOSE_TIMEOUT_MS });
    await freed.catch((error: unknown) => output.note(`nokv: lock: the lock goes when its session ends: ${describe(error)}`));
  }
  if (session.lost.aborted) {
    throw new NokvError('unavailable', `the session ended while ${name} ran, and ${name} was stopped: ${describe(session.lost.reason)}`);
  }
  if (code !== 0) throw new ProgramExit(code);
}

export async function lockList(call: CallOf<typeof lockCommands.lockList>): Promise<void> {
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const locks = await client.locks(path, { signal: call.signal });
  if (call.output.json) {
    for (const held of locks) await call.output.object(toJson(held));
    return;
  }
  const rows = locks.map((held) => [held.kind, held.type, rangeOf(held), held.session, shortTime(held.expiresAt), printable(held.name)]);
  if (rows.length === 0) return call.output.note(`no locks on ${showPath(path)}`);
  for (const line of columns([['KIND', 'TYPE', 'BYTES', 'SESSION', 'UNTIL', 'NAME'], ...rows])) await call.output.line(line);
}

/** As flock(1): a lock file need not be there before. */
async function makeMissing(client: NokvClient, path: Uint8Array, { signal }: LockCall): Promise<void> {
  if (await client.exists(path, { signal })) return;
  try {
    await client.put(path, '', { ifGeneration: 0, signal });
  } catch (error) {
    // Somebody else was faster.
    if (!isNokvError(error, 'exists')) throw error;
  }
}

async function take(session: ClientSession, path: Uint8Array, { flags, output, signal }: LockCall): Promise<HeldLock> {
  const type = flags.shared ? 'shared' : 'exclusive';
  if (flags.nonblock) {
    const held = await session.tryLock(path, { type, signal });
    if (held !== undefined) return held;
    const holder = await session.testLock(path, { type, signal });
    throw new NokvError('lock-conflict', `${showPath(path)} is locked${holder === undefined ? '' : ` by ${whose(holder)}`}; wait for it`);
  }
  try {
    const onWaiting = (why: string): void => output.detail(`waiting: ${why}`);
    return await session.lock(path, { type, signal, onWaiting, ...(flags.wait === undefined ? {} : { timeoutMs: flags.wait }) });
  } catch (error) {
    if (!isNokvError(error, 'deadline-exceeded')) throw error;
    throw new NokvError('lock-conflict', `${showPath(path)}: ${error.message}`, { cause: error });
  }
}

function whose({ name, session, expiresAt }: LockHolder): string {
  return `session ${name === '' ? session : `"${printable(name)}" (${session})`}, until it lets go or ends (${formatTimespec(expiresAt)})`;
}

function rangeOf({ start, end }: LockHolder): string {
  return `${start}-${end === LOCK_END_MAX ? 'end' : end - 1}`;
}

function toJson({ session, name, owner, kind, type, start, end, expiresAt }: LockHolder): Record<string, unknown> {
  const last = end === LOCK_END_MAX ? null : end - 1;
  return { session, name, owner, kind, type, firstByte: start, lastByte: last, expiresAt: formatTimespec(expiresAt) };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
