import { expect, test } from 'vitest';
import { CALLER_GROUPS_MAX, checkCaller, parseCaller } from './caller.js';

test('a caller is a user, a group and more groups', () => {
  expect(parseCaller('1001')).toEqual({ uid: 1001, gid: 1001, groups: [] });
  expect(parseCaller('1001:50')).toEqual({ uid: 1001, gid: 50, groups: [] });
  expect(parseCaller('0:0,4,27')).toEqual({ uid: 0, gid: 0, groups: [4, 27] });
});

test.each(['', 'root', '1001:', '1001:1,', '-1', '4294967295', '1:99999999999', '1 :2', '1.5'])('"%s" is no caller', (text) => {
  expect(() => parseCaller(text)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});

test('ids and the number of groups are bounded', () => {
  const groups = Array.from({ length: CALLER_GROUPS_MAX + 1 }, (_, i) => i);
  expect(checkCaller({ uid: 1, gid: 1, groups: groups.slice(1) }).groups).toHaveLength(CALLER_GROUPS_MAX);
  expect(() => checkCaller({ uid: 1, gid: 1, groups })).toThrow(/at most 1024 groups/);
  expect(() => checkCaller({ uid: 1.5, gid: 1, groups: [] })).toThrow(/whole number/);
});
