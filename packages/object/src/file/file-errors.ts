/** Turns errno of the file store into the codes of the port. */
import { NokvError, type ErrorCode, type ErrorOutcome } from '@nokv/types';

const ADVICE: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOSPC: ['no-space', 'the disk is full: free space or move the store'],
  EDQUOT: ['no-space', 'the disk quota is used up: free space or raise the quota'],
  EFBIG: ['no-space', 'the file size limit is reached: raise it (ulimit -f)'],
  EROFS: ['read-only', 'the file system is mounted read-only: remount it or move the store'],
  EACCES: ['permission-denied', 'this user may not use it: fix owner and mode of the directory'],
  EPERM: ['permission-denied', 'this user may not use it: fix owner and attributes of the directory'],
  EMFILE: ['store-unavailable', 'too many open files: raise the limit (ulimit -n)'],
  ENFILE: ['store-unavailable', 'too many open files on this machine'],
  ENOTDIR: ['store-unavailable', 'a part of the path is not a directory'],
  ENOENT: ['store-unavailable', 'the directory is gone'],
};

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

/** @param doing what was tried, in words: `write blocks/…`. */
export function translateFileError(error: unknown, doing: string, outcome: ErrorOutcome): NokvError {
  if (error instanceof NokvError) return error;
  const errno = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const [code, advice] = (errno === undefined ? undefined : ADVICE[errno]) ?? ['store-unavailable', 'look at the disk and its logs'];
  const found = error instanceof Error ? error.message : String(error);
  return new NokvError(code, `could not ${doing}: ${found}; ${advice}`, {
    outcome,
    cause: error,
    ...(errno === undefined ? {} : { details: { errno } }),
  });
}
