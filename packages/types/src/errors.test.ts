import { describe, expect, test } from 'vitest';
import { ERROR_KINDS, NokvError, toNokvError, type ErrorCode } from './errors.js';
import { ERRNO, EXIT_CODES, HTTP_STATUS, errnoOf, exitCodeOf } from './error-tables.js';

const codes = Object.keys(ERROR_KINDS) as ErrorCode[];

describe('NokvError', () => {
  test('an error survives its record', () => {
    for (const code of codes) {
      const error = new NokvError(code, 'expected a, found b', { outcome: 'unknown', details: { generation: 42 } });
      const copy = NokvError.fromRecord(JSON.parse(JSON.stringify(error.toRecord())));
      expect(copy).toMatchObject({
        code,
        kind: ERROR_KINDS[code],
        outcome: 'unknown',
        message: error.message,
        details: { generation: 42 },
      });
    }
  });

  test('a code of a newer build reads as internal', () => {
    expect(NokvError.fromRecord({ code: 'from-the-future', outcome: 'unknown', message: 'x' }).kind).toBe('internal');
  });

  test('foreign errors keep their cause and claim no outcome', () => {
    const cause = new TypeError('boom');
    expect(toNokvError(cause)).toMatchObject({ code: 'internal', outcome: 'unknown', cause });
  });
});

describe('tables', () => {
  test('every code has an exit code, an HTTP status and an errno', () => {
    for (const code of codes) {
      const error = new NokvError(code, 'x');
      expect(exitCodeOf(error)).toBe(EXIT_CODES[error.kind]);
      expect(HTTP_STATUS[error.kind]).toBeGreaterThanOrEqual(400);
      expect(Object.values(ERRNO)).toContain(errnoOf(error));
    }
  });

  test('exit codes are those of the documented table', () => {
    expect(EXIT_CODES).toEqual({
      internal: 1,
      invalid: 2,
      'not-found': 3,
      exists: 4,
      conflict: 5,
      denied: 6,
      quota: 7,
      fenced: 8,
      unavailable: 9,
      corrupt: 10,
    });
  });

  test('a call that may have taken effect exits with 11', () => {
    expect(exitCodeOf(new NokvError('connection-lost', 'x', { outcome: 'unknown' }))).toBe(11);
    expect(exitCodeOf(new NokvError('corrupt', 'x', { outcome: 'unknown' }))).toBe(10);
  });
});
