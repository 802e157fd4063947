/**
 * Who may do what: the rules of Linux (inode permission of path_resolution(7), and the pages of chmod, chown, unlink, rename,
 * utimensat and xattr), as functions of a caller and attributes. Nothing else decides about permissions.
 *
 * No caller, or user 0, is privileged and may do everything. `permission-denied` is EACCES, `not-permitted` EPERM.
 */
import { NokvError, formatName, type Attributes, type Caller, type LockKind, type LockType, type Timespec } from '@nokv/types';

export const READ = 4;
export const WRITE = 2;
/** Of a directory: to look up names in it. */
export const SEARCH = 1;

const SETUID = 0o4000;
const SETGID = 0o2000;
const STICKY = 0o1000;
const GROUP_EXECUTE = 0o010;

/** What the rules look at of an inode. */
export type Guarded = Pick<Attributes, 'type' | 'mode' | 'uid' | 'gid'>;

type Asked = Caller | undefined;
/** How messages name the node; asked for by refusals alone. */
type Where = () => string;

/** The caller where rules apply to it. */
export function restricted(caller: Asked): Caller | undefined {
  return caller === undefined || caller.uid === 0 ? undefined : caller;
}

export function isMember(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.groups.includes(gid);
}

/** Whether the mode bits grant all that is wanted: those of the owner, else of the group, else of others, and no second class. */
export function grants(caller: Asked, inode: Guarded, wanted: number): boolean {
  const who = restricted(caller);
  if (who === undefined) return true;
  const shift = who.uid === inode.uid ? 6 : isMember(who, inode.gid) ? 3 : 0;
  return ((inode.mode >> shift) & wanted) === wanted;
}

export function checkAccess(caller: Asked, inode: Guarded, wanted: number, where: Where): void {
  if (!grants(caller, inode, wanted)) throw denied(caller, where, `may not ${verbs(wanted)} it (${shown(inode)})`);
}

/** Entering a name into a directory. */
export function checkInsertion(caller: Asked, directory: Guarded, where: Where): void {
  if (!grants(caller, directory, WRITE | SEARCH))
    throw denied(caller, where, `may not write and search its directory (${shown(directory)})`);
}

/** Taking a name out of a directory; in a sticky one only owners of the inode or of the directory may. */
export function checkRemoval(caller: Asked, directory: Guarded, inode: Guarded, where: Where): void {
  checkInsertion(caller, directory, where);
  const who = restricted(caller);
  if (who === undefined || (directory.mode & STICKY) === 0) return;
  if (who.uid !== inode.uid && who.uid !== directory.uid) {
    throw notPermitted(caller, where, `may not take it out of a sticky directory: it belongs to user ${inode.uid}`);
  }
}

/** Moving to another directory changes the ".." of a directory that moves. */
export function checkMove(caller: Asked, inode: Guarded, changesParent: boolean, where: Where): void {
  if (inode.type === 'directory' && changesParent) checkAccess(caller, inode, WRITE, where);
}

/** A caller makes things of its own, in a group of its own. */
export function checkOwner(caller: Asked, owner: { readonly uid: number; readonly gid: number }): void {
  const who = restricted(caller);
  if (who === undefined) return;
  if (owner.uid !== who.uid || !isMember(who, owner.gid)) {
    throw notPermitted(caller, undefined, `may not make what belongs to user ${owner.uid} and group ${owner.gid}`);
  }
}

/**
 * The bits and the group of something made in `directory`: a set-gid directory passes its group on, and itself to directories;
 * a program of a group that its maker is no member of does not become set-gid.
 */
export function inherited(caller: Asked, directory: Guarded, made: Guarded): { readonly mode: number; readonly gid: number } {
  if ((directory.mode & SETGID) === 0) return { mode: made.mode, gid: made.gid };
  const { gid } = directory;
  if (made.type === 'directory') return { mode: made.mode | SETGID, gid };
  const isProgram = (made.mode & SETGID) !== 0 && (made.mode & GROUP_EXECUTE) !== 0;
  const who = restricted(caller);
  return { mode: isProgram && who !== undefined && !isMember(who, gid) ? made.mode & ~SETGID : made.mode, gid };
}

/** The bits that chmod(2) gives. */
export function changedMode(caller: Asked, inode: Guarded, mode: number, where: Where): number {
  mustBeOwner(caller, inode, where, 'change its mode');
  const who = restricted(caller);
  return who === undefined || isMember(who, inode.gid) ? mode : mode & ~SETGID;
}

/** chown(2): an owner may give a file to a group of its own, only the superuser may give it away. */
export function checkChown(caller: Asked, inode: Guarded, uid: number | undefined, gid: number | undefined, where: Where): void {
  const who = restricted(caller);
  if (who === undefined || (uid === undefined && gid === undefined)) return;
  mustBeOwner(caller, inode, where, 'change its owner');
  if (uid !== undefined && uid !== inode.uid) throw notPermitted(caller, where, 'may not give it away: user 0 alone may');
  if (gid !== undefined && gid !== inode.gid && !isMember(who, gid)) {
    throw notPermitted(caller, where, `is no member of group ${gid}`);
  }
}

/** A file that changes hands loses its set-id bits, whoever does it (chown(2) of Linux). */
export function modeAfterChown(caller: Asked, inode: Guarded): number {
  return inode.type === 'directory' ? inode.mode : withoutSetId(caller, inode);
}

/** A file that is written by anybody but the superuser loses its set-id bits. */
export function modeAfterWrite(caller: Asked, inode: Guarded): number {
  return restricted(caller) === undefined ? inode.mode : withoutSetId(caller, inode);
}

/** utimensat(2): the owner sets any times; whoever may write sets both to now. */
export function checkTimes(
  caller: Asked,
  inode: Guarded,
  { atime, mtime }: { readonly atime?: Timespec | 'now' | undefined; readonly mtime?: Timespec | 'now' | undefined },
  where: Where,
): void {
  const who = restricted(caller);
  if (who === undefined || who.uid === inode.uid || (atime === undefined && mtime === undefined)) return;
  if (atime === 'now' && mtime === 'now') return checkAccess(caller, inode, WRITE, where);
  mustBeOwner(caller, inode, where, 'set its times');
}

/** A file is open for reading or for writing; a caller that may do neither cannot have it open. */
export function checkOpen(caller: Asked, inode: Guarded, where: Where): void {
  if (!grants(caller, inode, READ) && !grants(caller, inode, WRITE)) checkAccess(caller, inode, READ, where);
}

/** fcntl(2) asks for a file that is open for writing, or for reading where the lock is shared; flock(2) for one that is open. */
export function checkLock(
  caller: Asked,
  inode: Guarded,
  { kind, type }: { readonly kind: LockKind; readonly type: LockType },
  where: Where,
): void {
  if (kind === 'flock') checkOpen(caller, inode, where);
  else checkAccess(caller, inode, type === 'shared' ? READ : WRITE, where);
}

/** xattr(7): `user.` goes by the mode of files and directories, `trusted.` and writing `security.` are the superuser's. */
export function checkXattr(caller: Asked, inode: Guarded, name: Uint8Array, wanted: typeof READ | typeof WRITE, where: Where): void {
  if (restricted(caller) === undefined) return;
  const text = formatName(name);
  if (text.startsWith('trusted.') || (text.startsWith('security.') && wanted === WRITE)) {
    throw notPermitted(caller, where, `may not use the extended attribute ${text}: user 0 alone may`);
  }
  if (text.startsWith('security.')) return;
  if (text.startsWith('system.')) {
    if (wanted === WRITE) mustBeOwner(caller, inode, where, `change ${text}`);
    return;
  }
  if (inode.type !== 'file' && inode.type !== 'directory') {
    throw notPermitted(caller, where, `cannot give it an extended attribute: it is a ${inode.type}, no file or directory`);
  }
  if (wanted === WRITE && inode.type === 'directory' && (inode.mode & STICKY) !== 0) {
    mustBeOwner(caller, inode, where, 'change attributes of a sticky directory');
  }
  checkAccess(caller, inode, wanted, where);
}

/** What is not about single nodes is for privileged callers. */
export function checkTrusted(caller: Asked, what: string): void {
  if (restricted(caller) !== undefined)
    throw notPermitted(caller, undefined, `may not ask for ${what}: it is for user 0 and trusted clients`);
}

export function mustBeOwner(caller: Asked, inode: Guarded, where: Where, what: string): void {
  const who = restricted(caller);
  if (who === undefined || who.uid === inode.uid) return;
  throw notPermitted(caller, where, `may not ${what}: it belongs to user ${inode.uid}`);
}

/** Set-gid without execution by the group once meant locking, and stays where the caller is one of the group. */
function withoutSetId(caller: Asked, { mode, gid }: Guarded): number {
  const who = restricted(caller);
  const keepsGroup = (mode & GROUP_EXECUTE) === 0 && (who === undefined || isMember(who, gid));
  return mode & ~SETUID & (keepsGroup ? ~0 : ~SETGID);
}

function verbs(wanted: number): string {
  const words = [(wanted & READ) !== 0 && 'read', (wanted & WRITE) !== 0 && 'write', (wanted & SEARCH) !== 0 && 'search'];
  return words.filter((word) => word !== false).join(' and ');
}

function shown({ mode, uid, gid }: Guarded): string {
  return `mode ${mode.toString(8).padStart(4, '0')}, owner ${uid}:${gid}`;
}

function denied(caller: Asked, where: Where | undefined, what: string): NokvError {
  return refused('permission-denied', caller, where, what);
}

function notPermitted(caller: Asked, where: Where | undefined, what: string): NokvError {
  return refused('not-permitted', caller, where, what);
}

function refused(code: 'permission-denied' | 'not-permitted', caller: Asked, where: Where | undefined, what: string): NokvError {
  const uid = caller?.uid ?? 0;
  return new NokvError(code, `${where === undefined ? '' : `${where()}: `}user ${uid} ${what}`, { details: { uid } });
}
