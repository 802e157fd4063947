/** How an error is told: one line for people, the error object with `--json`, and the exit code of the table. */
import { EXIT_INTERRUPTED, type NokvError, exitCodeOf } from '@nokv/types';

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
    text: `nokv: ${where}${oneLine(explain(error, command))}`,
    record: { ...error.toRecord(), ...(command === undefined ? {} : { command }), exitCode },
  };
}

/** Short, and with what to do next where the command line is what decides that. */
function explain(error: NokvError, command: string | undefined): string {
  const { path, generation } = error.details;
  const subject = typeof path === 'string' ? `${path}: ` : '';
  const at = typeof generation === 'number' && generation > 0 ? ` (generation ${generation})` : '';
  if (error.outcome === 'unknown' && typeof error.details.requestId === 'string') {
    return `${error.message}; it may have taken effect: run it again with --request-id ${error.details.requestId}`;
  }
  if (error.code === 'exists' && subject !== '') {
    if (command === 'put-artifact') return `${subject}exists${at}; use --replace`;
    if (command === 'put')
      return `${subject}exists${at}; use --if-generation ${at === '' ? 'with its generation' : generation}, or leave --if-generation out`;
  }
  return subject !== '' && !error.message.includes(String(path)) ? `${subject}${error.message}` : error.message;
}

/** Control characters would let a name play tricks on a terminal. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, (c) => (c === '\n' ? ' ' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`));
}
