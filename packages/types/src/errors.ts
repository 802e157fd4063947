/**
 * The one error class of the project.
 *
 * `kind` says what the caller should do, `code` is the stable name on the wire, `outcome` says whether
 * the operation may have taken effect. A lost reply after a commit is `unknown`: neither success nor failure.
 */

/** What a caller should do about an error; exit codes, errno, HTTP and tool errors derive from it. */
export type ErrorKind =
  | 'invalid'
  | 'not-found'
  | 'exists'
  | 'conflict'
  | 'denied'
  | 'quota'
  | 'fenced'
  | 'unavailable'
  | 'corrupt'
  | 'internal';

export type ErrorOutcome = 'not-applied' | 'unknown';

/** JSON-safe facts beside the message: never a secret, never a body. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

/**
 * Every code with the kind it belongs to. A code never changes its kind; a new code gets a new row.
 */
export const ERROR_KINDS = {
  // invalid: the request itself is wrong; sending it again cannot help.
  'invalid-argument': 'invalid',
  'invalid-name': 'invalid',
  'invalid-path': 'invalid',
  'name-too-long': 'invalid',
  'path-too-long': 'invalid',
  'not-directory': 'invalid',
  'is-directory': 'invalid',
  'not-regular-file': 'invalid',
  'not-symlink': 'invalid',
  'symlink-loop': 'invalid',
  'own-descendant': 'invalid',
  'cross-shard': 'invalid',
  'too-large': 'invalid',
  'frame-too-large': 'invalid',
  'malformed-frame': 'invalid',
  'unknown-operation': 'invalid',
  'unsupported-version': 'invalid',
  'unsupported-format': 'invalid',
  'request-reused': 'invalid',
  'bad-configuration': 'invalid',
  'bad-upload': 'invalid',
  unsupported: 'invalid',
  // not-found
  'not-found': 'not-found',
  'no-xattr': 'not-found',
  'no-upload': 'not-found',
  'no-session': 'not-found',
  'no-object': 'not-found',
  'no-bucket': 'not-found',
  'snapshot-expired': 'not-found',
  'retention-ended': 'not-found',
  // exists
  exists: 'exists',
  // conflict: the state is not what the caller expected; look again and decide.
  'generation-mismatch': 'conflict',
  'revision-mismatch': 'conflict',
  'type-mismatch': 'conflict',
  'not-empty': 'conflict',
  'link-limit': 'conflict',
  'request-expired': 'conflict',
  'cursor-too-old': 'conflict',
  'directory-in-use': 'conflict',
  'tag-mismatch': 'conflict',
  'source-changed': 'conflict',
  'merge-conflict': 'conflict',
  'lock-conflict': 'conflict',
  deadlock: 'conflict',
  // denied
  'permission-denied': 'denied',
  'not-permitted': 'denied',
  'read-only': 'denied',
  'bad-token': 'denied',
  'bad-credentials': 'denied',
  'outside-root': 'denied',
  // quota: no room.
  'quota-exceeded': 'quota',
  'no-space': 'quota',
  'session-limit': 'quota',
  'lock-limit': 'quota',
  'too-busy': 'unavailable',
  // fenced: this server may not serve (any more).
  fenced: 'fenced',
  'lease-lost': 'fenced',
  'not-owner': 'fenced',
  // unavailable: try again later.
  unavailable: 'unavailable',
  'deadline-exceeded': 'unavailable',
  'connection-lost': 'unavailable',
  draining: 'unavailable',
  'store-unavailable': 'unavailable',
  'control-unavailable': 'unavailable',
  'store-unfit': 'unavailable',
  cancelled: 'unavailable',
  // corrupt: bytes are not what they should be.
  corrupt: 'corrupt',
  // internal: a bug or an unforeseen failure of ours.
  internal: 'internal',
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

export interface NokvErrorOptions {
  /** Defaults to `not-applied`: say `unknown` wherever a mutation may have happened. */
  readonly outcome?: ErrorOutcome;
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
}

/** What travels on the wire and in `--json` output. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly outcome: ErrorOutcome;
  readonly message: string;
  readonly details?: ErrorDetails;
}

export class NokvError extends Error {
  override readonly name = 'NokvError';
  readonly code: ErrorCode;
  readonly outcome: ErrorOutcome;
  readonly details: ErrorDetails;

  /** @param message what was expected, what was found and what to do next; no secret, no body. */
  constructor(code: ErrorCode, message: string, options: NokvErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.outcome = options.outcome ?? 'not-applied';
    this.details = options.details ?? {};
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }

  toRecord(): ErrorRecord {
    const { code, kind, outcome, message, details } = this;
    return Object.keys(details).length === 0 ? { code, kind, outcome, message } : { code, kind, outcome, message, details };
  }

  /** Rebuilds an error from its record; a code that this build does not know becomes `internal`. */
  static fromRecord(record: {
    readonly code: string;
    readonly outcome: ErrorOutcome;
    readonly message: string;
    readonly details?: ErrorDetails | undefined;
  }): NokvError {
    const code = isErrorCode(record.code) ? record.code : 'internal';
    return new NokvError(code, record.message, {
      outcome: record.outcome,
      ...(record.details === undefined ? {} : { details: record.details }),
    });
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_KINDS, code);
}

export function isNokvError(error: unknown, code?: ErrorCode): error is NokvError {
  return error instanceof NokvError && (code === undefined || error.code === code);
}

/** Wraps what no adapter translated: `internal`, outcome unknown, cause kept. */
export function toNokvError(error: unknown): NokvError {
  if (error instanceof NokvError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new NokvError('internal', `unexpected failure: ${message}`, { outcome: 'unknown', cause: error });
}

/** Ends a switch over a union: a new member of the union no longer compiles here. */
export function unreachable(value: never): never {
  throw new NokvError('internal', `unreachable case: ${JSON.stringify(value)}`, { outcome: 'unknown' });
}

/** A programmer's error: the invariant named here does not hold. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new NokvError('internal', `invariant broken: ${invariant}`, { outcome: 'unknown' });
}
