import { describe, expect, test } from 'vitest';
import { checkLinearizable, type Model } from './checker.js';
import { filePair, type PairInput, type PairOutput } from './file-pair.js';
import { NEVER, type Operation } from './history.js';

type Input = { readonly write: number } | 'read';
type Output = number | 'written';

const register: Model<number, Input, Output> = {
  initial: 0,
  step: (state, input, output) => {
    if (input === 'read') return output === undefined || output === state ? [state] : [];
    return [input.write];
  },
  key: String,
};

function op(
  input: Input,
  output: Output | undefined,
  calledAt: number,
  returnedAt = output === undefined ? NEVER : calledAt + 1,
): Operation<Input, Output> {
  return { caller: 'c', input, output, calledAt, returnedAt };
}

test('one after another, each read sees the last write', () => {
  expect(
    checkLinearizable(register, [op({ write: 1 }, 'written', 0), op('read', 1, 2), op({ write: 2 }, 'written', 4), op('read', 2, 6)]),
  ).toMatchObject({
    isLinearizable: true,
  });
});

test('a stale read is refused, and the answer says which', () => {
  const stale = op('read', 1, 6);
  const verdict = checkLinearizable(register, [op({ write: 1 }, 'written', 0), op({ write: 2 }, 'written', 4), stale]);
  expect(verdict).toMatchObject({ isLinearizable: false, stuck: [stale] });
});

test('concurrent operations may come in either order, but in one for all', () => {
  const writes = [op({ write: 1 }, 'written', 0, 10), op({ write: 2 }, 'written', 1, 11)];
  expect(checkLinearizable(register, [...writes, op('read', 1, 12)]).isLinearizable).toBe(true);
  expect(checkLinearizable(register, [...writes, op('read', 2, 12)]).isLinearizable).toBe(true);
  expect(checkLinearizable(register, [...writes, op('read', 1, 12), op('read', 2, 14)]).isLinearizable).toBe(false);
});

test('two reads must not see a write come and go', () => {
  const write = op({ write: 1 }, 'written', 0, 20);
  expect(checkLinearizable(register, [write, op('read', 0, 1), op('read', 1, 3)]).isLinearizable).toBe(true);
  expect(checkLinearizable(register, [write, op('read', 1, 1), op('read', 0, 3)]).isLinearizable).toBe(false);
});

test('a lost write may take effect late, or never, but not before it was sent and not twice', () => {
  const lost = op({ write: 7 }, undefined, 2);
  expect(checkLinearizable(register, [lost, op('read', 0, 4), op('read', 7, 6)]).isLinearizable).toBe(true);
  expect(checkLinearizable(register, [lost, op('read', 0, 4), op('read', 0, 6)]).isLinearizable).toBe(true);
  expect(checkLinearizable(register, [op('read', 7, 0), lost]).isLinearizable).toBe(false);
  const between = op({ write: 1 }, 'written', 8);
  expect(checkLinearizable(register, [lost, op('read', 7, 6), between, op('read', 7, 10)]).isLinearizable).toBe(false);
});

describe('histories of files', () => {
  const put = (text: string, calledAt: number): Operation<PairInput, PairOutput> => ({
    caller: 'c',
    input: { kind: 'put', key: 'x', text, expected: undefined },
    output: 'ok',
    calledAt,
    returnedAt: calledAt + 1,
  });
  const list = (output: string, calledAt: number): Operation<PairInput, PairOutput> => ({
    caller: 'c',
    input: { kind: 'list' },
    output,
    calledAt,
    returnedAt: calledAt + 1,
  });
  const rename = (calledAt: number, returnedAt: number): Operation<PairInput, PairOutput> => ({
    caller: 'r',
    input: { kind: 'rename', from: 'x', mode: 'replace' },
    output: 'ok',
    calledAt,
    returnedAt,
  });

  test('a listing that shows a file under both of its names while it is renamed is refused', () => {
    expect(
      checkLinearizable(filePair, [put('a', 0), rename(2, 10), list('x=a,y=(absent)', 3), list('x=(absent),y=a', 5)]).isLinearizable,
    ).toBe(true);
    expect(checkLinearizable(filePair, [put('a', 0), rename(2, 10), list('x=a,y=a', 4)]).isLinearizable).toBe(false);
    expect(checkLinearizable(filePair, [put('a', 0), rename(2, 10), list('x=(absent),y=(absent)', 4)]).isLinearizable).toBe(false);
  });

  test('two winners of one compare-and-set are refused', () => {
    const swap = (text: string): Operation<PairInput, PairOutput> => ({
      caller: text,
      input: { kind: 'put', key: 'x', text, expected: 'a' },
      output: 'ok',
      calledAt: text === 'b' ? 2 : 3,
      returnedAt: 9,
    });
    expect(checkLinearizable(filePair, [put('a', 0), swap('b')]).isLinearizable).toBe(true);
    expect(checkLinearizable(filePair, [put('a', 0), swap('b'), swap('c')]).isLinearizable).toBe(false);
  });
});
