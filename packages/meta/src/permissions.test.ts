import { describe, expect, test } from 'vitest';
import type { Caller } from '@nokv/types';
import {
  READ,
  SEARCH,
  WRITE,
  changedMode,
  checkAccess,
  checkChown,
  checkInsertion,
  checkMove,
  checkOwner,
  checkRemoval,
  checkTimes,
  checkTrusted,
  checkXattr,
  grants,
  inherited,
  modeAfterChown,
  modeAfterWrite,
  mustBeOwner,
  type Guarded,
} from './permissions.js';

const owner: Caller = { uid: 1000, gid: 100, groups: [] };
const groupMate: Caller = { uid: 1001, gid: 100, groups: [] };
const supplementary: Caller = { uid: 1002, gid: 5, groups: [7, 100] };
const stranger: Caller = { uid: 1003, gid: 5, groups: [] };
const root: Caller = { uid: 0, gid: 0, groups: [] };
const callers = { owner, groupMate, supplementary, stranger, root, trusted: undefined } as const;
type Who = keyof typeof callers;

const node = (mode: number, more: Partial<Guarded> = {}): Guarded => ({ type: 'file', mode, uid: 1000, gid: 100, ...more });
const directory = (mode: number, more: Partial<Guarded> = {}): Guarded => node(mode, { type: 'directory', ...more });
const where = (): string => '/x';
const name = (text: string): Uint8Array => Buffer.from(text);

/** What a check says: `ok` or the code of its refusal. */
function says(check: () => unknown): string {
  try {
    check();
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('mode bits', () => {
  // Each row: mode, what is wanted, who is granted it.
  const rows: readonly (readonly [number, number, readonly Who[]])[] = [
    [0o600, READ, ['owner', 'root', 'trusted']],
    [0o640, READ, ['owner', 'groupMate', 'supplementary', 'root', 'trusted']],
    [0o644, READ, ['owner', 'groupMate', 'supplementary', 'stranger', 'root', 'trusted']],
    [0o640, WRITE, ['owner', 'root', 'trusted']],
    [0o660, READ | WRITE, ['owner', 'groupMate', 'supplementary', 'root', 'trusted']],
    [0o711, SEARCH, ['owner', 'groupMate', 'supplementary', 'stranger', 'root', 'trusted']],
    [0o711, READ | SEARCH, ['owner', 'root', 'trusted']],
    // The first class that fits decides alone, also where a later one would grant more.
    [0o077, READ, ['groupMate', 'supplementary', 'stranger', 'root', 'trusted']],
    [0o707, READ, ['owner', 'stranger', 'root', 'trusted']],
    [0o000, READ, ['root', 'trusted']],
    // Set-id and sticky bits grant nothing.
    [0o7000, READ | WRITE | SEARCH, ['root', 'trusted']],
  ];
  test.each(rows)('%o lets %i be done by the right ones', (mode, wanted, granted) => {
    const found = (Object.keys(callers) as Who[]).filter((who) => grants(callers[who], node(mode), wanted));
    expect(found).toEqual(granted);
  });

  test('a refusal names the user, the node and its mode', () => {
    expect(() => checkAccess(stranger, node(0o640), READ, where)).toThrow('/x: user 1003 may not read it (mode 0640, owner 1000:100)');
    expect(says(() => checkAccess(stranger, node(0o640), READ, where))).toBe('permission-denied');
  });
});

describe('names', () => {
  test.each([
    [0o755, 'groupMate', 'permission-denied'],
    [0o775, 'groupMate', 'ok'],
    [0o765, 'groupMate', 'permission-denied'],
    [0o777, 'stranger', 'ok'],
    [0o776, 'stranger', 'permission-denied'],
    [0o555, 'owner', 'permission-denied'],
    [0o000, 'root', 'ok'],
  ] as const)('a directory %o lets %s enter: %s', (mode, who, expected) => {
    expect(says(() => checkInsertion(callers[who], directory(mode), where))).toBe(expected);
  });

  const mine = { uid: 1003, gid: 5 };
  test.each([
    ['no sticky bit, foreign file', 0o777, {}, {}, 'stranger', 'ok'],
    ['sticky, foreign file', 0o1777, { uid: 0 }, {}, 'stranger', 'not-permitted'],
    ['sticky, own file', 0o1777, { uid: 0 }, mine, 'stranger', 'ok'],
    ['sticky, own directory', 0o1777, mine, {}, 'stranger', 'ok'],
    ['sticky, group does not help', 0o1777, { uid: 0 }, { gid: 5 }, 'stranger', 'not-permitted'],
    ['sticky, superuser', 0o1777, {}, {}, 'root', 'ok'],
    ['sticky but not writable', 0o1755, { uid: 0 }, mine, 'stranger', 'permission-denied'],
  ] as const)('removal: %s', (_what, mode, its, file, who, expected) => {
    expect(says(() => checkRemoval(callers[who], directory(mode, its), node(0o600, file), where))).toBe(expected);
  });

  test.each([
    ['file', node(0o400), true, 'ok'],
    ['directory of its own that may be written', directory(0o700, mine), true, 'ok'],
    ['directory that may not be written', directory(0o755), true, 'permission-denied'],
    ['directory that stays in its parent', directory(0o755), false, 'ok'],
  ] as const)('moving a %s', (_what, inode, changesParent, expected) => {
    expect(says(() => checkMove(stranger, inode, changesParent, where))).toBe(expected);
  });
});

describe('what is made', () => {
  test.each([
    ['owner', 1000, 100, 'ok'],
    ['owner', 1001, 100, 'not-permitted'],
    ['owner', 1000, 7, 'not-permitted'],
    ['supplementary', 1002, 7, 'ok'],
    ['root', 1234, 1234, 'ok'],
    ['trusted', 1234, 1234, 'ok'],
  ] as const)('%s makes something of %i:%i: %s', (who, uid, gid, expected) => {
    expect(says(() => checkOwner(callers[who], { uid, gid }))).toBe(expected);
  });

  test.each([
    ['below a plain directory', 0o755, 'stranger', node(0o2755, { gid: 5 }), { mode: 0o2755, gid: 5 }],
    ['a file below a set-gid directory', 0o2755, 'stranger', node(0o644, { gid: 5 }), { mode: 0o644, gid: 100 }],
    ['a directory below a set-gid directory', 0o2755, 'stranger', directory(0o755, { gid: 5 }), { mode: 0o2755, gid: 100 }],
    ['a program of a foreign group', 0o2777, 'stranger', node(0o2755, { gid: 5 }), { mode: 0o755, gid: 100 }],
    ['a program of a group of its maker', 0o2777, 'supplementary', node(0o2755, { gid: 5 }), { mode: 0o2755, gid: 100 }],
    ['a program made by the superuser', 0o2777, 'root', node(0o2755, { gid: 5 }), { mode: 0o2755, gid: 100 }],
  ] as const)('%s inherits', (_what, mode, who, made, expected) => {
    expect(inherited(callers[who], directory(mode), made)).toEqual(expected);
  });
});

describe('attributes', () => {
  test.each([
    ['owner', 100, 0o4711, 0o4711],
    ['owner', 100, 0o2755, 0o2755],
    ['owner', 7, 0o2755, 0o755],
    ['root', 7, 0o2755, 0o2755],
  ] as const)('%s sets the mode of a file of group %i to %o', (who, gid, mode, expected) => {
    expect(changedMode(callers[who], node(0o600, { gid }), mode, where)).toBe(expected);
  });

  test('only owners change modes, however much they may write', () => {
    expect(says(() => changedMode(groupMate, node(0o777), 0o700, where))).toBe('not-permitted');
  });

  test.each([
    ['owner', 1000, undefined, 'ok'],
    ['owner', 1001, undefined, 'not-permitted'],
    ['owner', undefined, 100, 'ok'],
    ['owner', undefined, 7, 'not-permitted'],
    ['stranger', undefined, 5, 'not-permitted'],
    ['stranger', undefined, undefined, 'ok'],
    ['root', 5, 5, 'ok'],
  ] as const)('%s gives a file to %s:%s: %s', (who, uid, gid, expected) => {
    expect(says(() => checkChown(callers[who], node(0o644), uid, gid, where))).toBe(expected);
  });

  test('an owner may give a file to a group that is its own by supplement', () => {
    expect(says(() => checkChown({ ...owner, groups: [7] }, node(0o644), undefined, 7, where))).toBe('ok');
  });

  test.each([
    [node(0o6755), 0o755],
    [node(0o6745), 0o2745],
    [node(0o4600), 0o600],
    [node(0o1777), 0o1777],
  ] as const)('writing and giving away takes set-id bits', (inode, expected) => {
    expect(modeAfterWrite(owner, inode)).toBe(expected);
    expect(modeAfterWrite(root, inode)).toBe(inode.mode);
    expect(modeAfterChown(root, inode)).toBe(expected);
    expect(modeAfterChown(owner, inode)).toBe(expected);
    expect(modeAfterChown(owner, { ...inode, type: 'directory' })).toBe(inode.mode);
  });

  test('set-gid of files that no group executes stays for members of the group', () => {
    expect(modeAfterWrite(groupMate, node(0o2640))).toBe(0o2640);
    expect(modeAfterWrite(stranger, node(0o2646))).toBe(0o646);
    expect(modeAfterChown(undefined, node(0o2640))).toBe(0o2640);
  });

  const past = { sec: 1, nsec: 0 };
  test.each([
    ['owner', 0o000, { atime: past, mtime: past }, 'ok'],
    ['groupMate', 0o660, { atime: 'now', mtime: 'now' }, 'ok'],
    ['groupMate', 0o640, { atime: 'now', mtime: 'now' }, 'permission-denied'],
    ['groupMate', 0o660, { mtime: 'now' }, 'not-permitted'],
    ['groupMate', 0o660, { atime: past, mtime: past }, 'not-permitted'],
    ['groupMate', 0o600, {}, 'ok'],
    ['root', 0o000, { atime: past }, 'ok'],
  ] as const)('%s sets times of a file %o', (who, mode, times, expected) => {
    expect(says(() => checkTimes(callers[who], node(mode), times, where))).toBe(expected);
  });

  test.each([
    ['user.k', READ, node(0o644), 'stranger', 'ok'],
    ['user.k', READ, node(0o640), 'stranger', 'permission-denied'],
    ['user.k', WRITE, node(0o644), 'stranger', 'permission-denied'],
    ['user.k', WRITE, node(0o666), 'stranger', 'ok'],
    ['user.k', WRITE, node(0o777, { type: 'symlink' }), 'stranger', 'not-permitted'],
    ['user.k', WRITE, node(0o666, { type: 'fifo' }), 'owner', 'not-permitted'],
    ['user.k', WRITE, directory(0o1777), 'stranger', 'not-permitted'],
    ['user.k', WRITE, directory(0o1777), 'owner', 'ok'],
    ['trusted.k', READ, node(0o644), 'owner', 'not-permitted'],
    ['trusted.k', WRITE, node(0o644), 'root', 'ok'],
    ['security.k', READ, node(0o000), 'stranger', 'ok'],
    ['security.k', WRITE, node(0o666), 'owner', 'not-permitted'],
    ['system.posix_acl_access', READ, node(0o000), 'stranger', 'ok'],
    ['system.posix_acl_access', WRITE, node(0o666), 'stranger', 'not-permitted'],
    ['system.posix_acl_access', WRITE, node(0o000), 'owner', 'ok'],
  ] as const)('the extended attribute %s, wanted %i', (attribute, wanted, inode, who, expected) => {
    expect(says(() => checkXattr(callers[who], inode, name(attribute), wanted, where))).toBe(expected);
  });

  test('ownership and trust', () => {
    expect(says(() => mustBeOwner(owner, node(0), where, 'x'))).toBe('ok');
    expect(says(() => mustBeOwner(groupMate, node(0o777), where, 'x'))).toBe('not-permitted');
    expect(says(() => checkTrusted(root, 'x'))).toBe('ok');
    expect(says(() => checkTrusted(owner, 'x'))).toBe('not-permitted');
  });
});
