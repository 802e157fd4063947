import { expect, test } from 'vitest';
import { checkOpenFiles } from './open-files.js';

const limits = (soft: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax processes             10 10 processes \nMax open files            ${soft.padEnd(20)} 4096                 files     \n`;

test.each(['256', '1048576', 'unlimited'])('a limit of %s open files is enough', (soft) => {
  expect(() => checkOpenFiles(limits(soft))).not.toThrow();
});

test('a limit that is too low is named, with how to raise it', () => {
  expect(() => checkOpenFiles(limits('64'))).toThrow(
    expect.objectContaining({
      code: 'bad-configuration',
      details: { expected: 256, found: 64 },
      message: expect.stringContaining('ulimit -n') as string,
    }),
  );
});

test('where no limit is told, none is feared', () => {
  expect(() => checkOpenFiles('')).not.toThrow();
});
