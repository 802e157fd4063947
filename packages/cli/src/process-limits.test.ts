import { expect, test } from 'vitest';
import { checkProcessLimits } from './process-limits.js';

const limits = (files: string, space = 'unlimited'): string =>
  `Limit                     Soft Limit           Hard Limit           Units     \n` +
  `Max processes             10                   10                   processes \n` +
  `Max open files            ${files.padEnd(20)} 4096                 files     \n` +
  `Max address space         ${space.padEnd(20)} unlimited            bytes     \n`;

test.each(['256', '1048576', 'unlimited'])('a limit of %s open files is enough', (files) => {
  expect(() => checkProcessLimits(limits(files))).not.toThrow();
});

test('a limit of open files that is too low is named, with how to raise it', () => {
  const expected = {
    code: 'bad-configuration',
    details: { expected: 256, found: 64 },
    message: expect.stringContaining('ulimit -n') as string,
  };
  expect(() => checkProcessLimits(limits('64'))).toThrow(expect.objectContaining(expected));
});

test('so is one of the address space', () => {
  const expected = {
    code: 'bad-configuration',
    details: { found: 50_000_000_000 },
    message: expect.stringContaining('ulimit -v') as string,
  };
  expect(() => checkProcessLimits(limits('4096', '50000000000'))).toThrow(
    expect.objectContaining({ ...expected, details: expect.objectContaining(expected.details) as object }),
  );
  expect(() => checkProcessLimits(limits('4096', '100000000000'))).not.toThrow();
});

test('where no limit is told, none is feared', () => {
  expect(() => checkProcessLimits('')).not.toThrow();
});
