/** How an error is told: one line for people, the error object with `--json`, and the exit code of the table. */
import { EXIT_INTERRUPTED, type NokvError, exitCodeOf } from '@nokv/types';
import { printable } from './printable.js';

export interface Failure {
  readonly exitCode: number;
  /** Without a line end. */
  readonly text: string;
  readonly record: ReturnType<NokvError['toRecord']> & { readonly command?: string; readonly exitCode: number };
}

export function describeFailure(error: NokvError, command: string | undefined, isInterrupted: boolean): Failure {
  const exitCode = isInterrupted && error.code === 'cancelled' ? EXIT_INTERRUPTED : exitCodeOf(error);
  const where = command === undefined ? '' : `${command}: `;
  return {
    exitCode,
    text: `nokv: ${where}${printable(explain(error).replaceAll('\n', ' '))}`,
    record: { ...error.toRecord(), ...(command === undefined ? {} : { command }), exitCode },
  };
}

/** With the path that it is about, and how to ask again where the outcome is not known. */
function explain({ message, outcome, details: { path, requestId } }: NokvError): string {
  const text = typeof path === 'string' && !message.includes(path) ? `${path}: ${message}` : message;
  return outcome === 'unknown' && typeof requestId === 'string'
    ? `${text}; it may have taken effect: run it again with --request-id ${requestId}`
    : text;
}
