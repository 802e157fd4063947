/** Errors of the local file system, translated where the command meets them. */
import { type ErrorCode, NokvError } from '@nokv/types';

const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['not-found', 'no such local file or directory'],
  ENOTDIR: ['not-directory', 'a part of this local path is not a directory'],
  EISDIR: ['is-directory', 'is a local directory'],
  EEXIST: ['exists', 'exists locally'],
  EACCES: ['permission-denied', 'permission denied by the local file system'],
  EPERM: ['permission-denied', 'not permitted by the local file system'],
  EROFS: ['read-only', 'the local file system is read-only'],
  ENOSPC: ['no-space', 'no space left on the local disk'],
  ENAMETOOLONG: ['name-too-long', 'a name is too long for the local file system'],
  ELOOP: ['symlink-loop', 'too many symlinks in this local path'],
};

export function localFailure(error: unknown, path: string): NokvError {
  if (error instanceof NokvError) return error;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  const [code, text] = CODES[errno] ?? ['internal', `local file system: ${errno === '' ? String(error) : errno}`];
  return new NokvError(code, `${path}: ${text}`, { cause: error });
}
