/** Translates errors of the local file system, once, at the edge. */
import type { ErrorCode } from '@nokv/types';
import { NokvError, isNokvError } from '@nokv/types';

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not-found',
  ENOTDIR: 'not-directory',
  EISDIR: 'is-directory',
  EEXIST: 'exists',
  EACCES: 'permission-denied',
  EPERM: 'not-permitted',
  EROFS: 'read-only',
  ENOSPC: 'no-space',
  EDQUOT: 'quota-exceeded',
  ELOOP: 'symlink-loop',
  ENAMETOOLONG: 'path-too-long',
  ENOTEMPTY: 'not-empty',
  EMFILE: 'too-busy',
  ENFILE: 'too-busy',
};

/** @param doing what was tried, for the message: `read /tmp/x`. */
export function localError(error: unknown, doing: string): NokvError {
  if (isNokvError(error)) return error;
  if (error instanceof Error && error.name === 'AbortError')
    return new NokvError('cancelled', 'the caller aborted the call', { cause: error });
  const errno = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const code = (errno === undefined ? undefined : CODES[errno]) ?? 'internal';
  const reason = errno ?? (error instanceof Error ? error.message : String(error));
  return new NokvError(code, `cannot ${doing} on this machine: ${reason}`, { cause: error });
}
