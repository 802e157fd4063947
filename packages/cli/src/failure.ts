/** How an error is told: one line for people, the error object with `--json`, and the exit code of the table. */
import { EXIT_INTERRUPTED, type NokvError, exitCodeOf } from '@nokv/types';
import { printable } from './printable.js';

export interface Failure {
  readonly exitCode: number;
  /** False for a person's own Ctrl-C that left no question open. */
  readonly isWorthTelling: boolean;
  /** Without a line end. */
  readonly text: string;
  readonly record: ReturnType<NokvError['toRecord']> & { readonly command?: string; readonly exitCode: number };
}

export function describeFailure(error: NokvError, command: string | undefined, isInterrupted: boolean): Failure {
  const isCancelled = isInterrupted && error.code === 'cancelled';
  const exitCode = isCancelled ? EXIT_INTERRUPTED : exitCodeOf(error);
  const where = command === undefined ? '' : `${command}: `;
  return {
    exitCode,
    isWorthTelling: !isCancelled || (error.outcome === 'unknown' && error.details.requestId !== undefined),
    text: `nokv: ${where}${printable(explain(error, where).replaceAll('\n', ' '))}`,
    record: { ...error.toRecord(), ...(command === undefined ? {} : { command }), exitCode },
  };
}

/** With the path that it is about, and how to ask again where the outcome is not known. */
function explain({ message: whole, outcome, details: { path, requestId } }: NokvError, where: string): string {
  const message = where !== '' && whole.startsWith(where) ? whole.slice(where.length) : whole;
  const text = typeof path === 'string' && !message.includes(path) ? `${path}: ${message}` : message;
  return outcome === 'unknown' && typeof requestId === 'string'
    ? `${text}; it may have taken effect: run it again with --request-id ${requestId}`
    : text;
}
