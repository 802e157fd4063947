/**
 * Whom a call acts for. With a caller the shard applies the permission rules of POSIX to the call; without one the call is
 * trusted, as that of a kernel that checked already. The ids are claims of the client, as in NFS with AUTH_SYS: they keep
 * programs that mean well apart, and are no authentication.
 */
import { NokvError } from './errors.js';

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, at most {@link CALLER_GROUPS_MAX}. */
  readonly groups: readonly number[];
}

export const CALLER_GROUPS_MAX = 1024;
/** 2^32 - 1 means "no id" to kernels. */
const ID_MAX = 2 ** 32 - 2;

/** `UID[:GID[,GID…]]`; the group is that of the number of the user when none is given. */
export function parseCaller(text: string): Caller {
  const match = /^(\d{1,10})(?::(\d{1,10}(?:,\d{1,10})*))?$/.exec(text);
  const [, user, list] = match ?? [];
  const ids = [user, ...(list ?? user ?? '').split(',')].map(Number);
  const [uid, gid, ...groups] = ids;
  if (match === null || uid === undefined || gid === undefined || ids.some((id) => id > ID_MAX)) {
    throw new NokvError('invalid-argument', `expected UID[:GID[,GID…]] with numbers from 0 to ${ID_MAX}, found "${text}"`);
  }
  return checkCaller({ uid, gid, groups });
}

export function checkCaller(caller: Caller): Caller {
  for (const id of [caller.uid, caller.gid, ...caller.groups]) {
    if (Number.isInteger(id) && id >= 0 && id <= ID_MAX) continue;
    throw new NokvError('invalid-argument', `an id of a user or group is a whole number from 0 to ${ID_MAX}, found ${id}`);
  }
  if (caller.groups.length > CALLER_GROUPS_MAX) {
    throw new NokvError('invalid-argument', `a caller has at most ${CALLER_GROUPS_MAX} groups, found ${caller.groups.length}`);
  }
  return caller;
}
