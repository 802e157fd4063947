/**
 * The only tables that turn an error into an exit code, an HTTP status or an errno.
 * Exit codes are documented in the CLI's help; errno numbers are Linux's (asm-generic/errno.h).
 */
import type { ErrorCode, ErrorKind } from './errors.js';
import { NokvError } from './errors.js';

export const EXIT_CODES: Readonly<Record<ErrorKind, number>> = {
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
};

/** The command may have taken effect; run it again with the same request id. */
export const EXIT_OUTCOME_UNKNOWN = 11;
/** Interrupted by SIGINT. */
export const EXIT_INTERRUPTED = 130;

export function exitCodeOf(error: NokvError): number {
  return error.outcome === 'unknown' && (error.kind === 'unavailable' || error.kind === 'fenced')
    ? EXIT_OUTCOME_UNKNOWN
    : EXIT_CODES[error.kind];
}

export const HTTP_STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  denied: 403,
  'not-found': 404,
  exists: 409,
  conflict: 412,
  quota: 507,
  fenced: 421,
  unavailable: 503,
  corrupt: 500,
  internal: 500,
};

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
} as const;

const ERRNO_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  invalid: ERRNO.EINVAL,
  'not-found': ERRNO.ENOENT,
  exists: ERRNO.EEXIST,
  conflict: ERRNO.EIO,
  denied: ERRNO.EACCES,
  quota: ERRNO.ENOSPC,
  fenced: ERRNO.EIO,
  unavailable: ERRNO.EIO,
  corrupt: ERRNO.EIO,
  internal: ERRNO.EIO,
};

const ERRNO_OF_CODE: Partial<Record<ErrorCode, number>> = {
  'name-too-long': ERRNO.ENAMETOOLONG,
  'path-too-long': ERRNO.ENAMETOOLONG,
  'not-directory': ERRNO.ENOTDIR,
  'is-directory': ERRNO.EISDIR,
  'symlink-loop': ERRNO.ELOOP,
  'cross-shard': ERRNO.EXDEV,
  'too-large': ERRNO.EFBIG,
  unsupported: ERRNO.EOPNOTSUPP,
  'no-xattr': ERRNO.ENODATA,
  'not-empty': ERRNO.ENOTEMPTY,
  'link-limit': ERRNO.EMLINK,
  'not-permitted': ERRNO.EPERM,
  'lock-conflict': ERRNO.EAGAIN,
  deadlock: ERRNO.EDEADLK,
  'lock-limit': ERRNO.ENOLCK,
  'session-limit': ERRNO.ENOLCK,
  'no-session': ERRNO.ENOLCK,
  'read-only': ERRNO.EROFS,
  'quota-exceeded': ERRNO.EDQUOT,
  'deadline-exceeded': ERRNO.ETIMEDOUT,
  cancelled: ERRNO.EINTR,
};

export function errnoOf(error: NokvError): number {
  return ERRNO_OF_CODE[error.code] ?? ERRNO_OF_KIND[error.kind];
}
