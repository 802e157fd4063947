/** Short ways to open sessions and take locks on a {@link TestShard}. */
import { LOCK_END_MAX, type InodeNumber, type LockKind, type LockType, type SessionId, type Timespec } from '@nokv/types';
import { at, type TestShard } from './test-shard.js';

export const FLOCK = { kind: 'flock', start: 0, end: LOCK_END_MAX } as const;

export interface AskedLock {
  readonly session: SessionId;
  readonly owner?: number;
  readonly kind?: LockKind;
  readonly type?: LockType;
  readonly start?: number;
  readonly end?: number;
}

export async function openSession(shard: TestShard, ttlMs = 30_000, name = ''): Promise<SessionId> {
  return (await shard.do('open-session', { name, ttlMs })).result.session;
}

/** Asks for a lock of a byte range (all of the file, exclusively, where nothing else is said). */
export async function lock(shard: TestShard, node: string | InodeNumber, asked: AskedLock): Promise<InodeNumber> {
  const args = { owner: 1, kind: 'range', type: 'exclusive', start: 0, end: LOCK_END_MAX, ...asked } as const;
  return (await shard.do('lock', { node: typeof node === 'string' ? at(node) : { ino: node }, ...args })).result.ino;
}

export async function unlock(shard: TestShard, node: string | InodeNumber, asked: Omit<AskedLock, 'type'>): Promise<void> {
  const args = { owner: 1, kind: 'range', start: 0, end: LOCK_END_MAX, ...asked } as const;
  await shard.do('unlock', { node: typeof node === 'string' ? at(node) : { ino: node }, ...args });
}

/** Locks as lines: `session/owner type start-end`, sessions numbered as given. */
export async function lockLines(shard: TestShard, node: string, sessions: readonly SessionId[]): Promise<string[]> {
  const { locks } = await shard.read('list-locks', { node: at(node) });
  return locks.map(({ session, owner, type, start, end }) => {
    const range = `${start}-${end === LOCK_END_MAX ? 'end' : end}`;
    return `${sessions.indexOf(session)}/${owner} ${type} ${range}`;
  });
}

export function msOf({ sec, nsec }: Timespec): number {
  return sec * 1000 + nsec / 1e6;
}
