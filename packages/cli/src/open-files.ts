/** A server that may open few files would fail somewhere while it loads itself or when clients come: it is told before. */
import { readFileSync } from 'node:fs';
import { NokvError } from '@nokv/types';

/** Its own modules, the environment, both ports, and some clients. */
const OPEN_FILES_MIN = 256;

export function checkOpenFiles(limits = readLimits()): void {
  const soft = softLimitOf(limits);
  if (soft === undefined || soft >= OPEN_FILES_MIN) return;
  throw new NokvError(
    'bad-configuration',
    `a server needs at least ${OPEN_FILES_MIN} open files, this process may open ${soft}; raise the limit ("ulimit -n 4096") and start again`,
    { details: { expected: OPEN_FILES_MIN, found: soft } },
  );
}

/** Undefined where it is unlimited or not told. */
function softLimitOf(limits: string): number | undefined {
  const found = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Linux (proc(5)); elsewhere nothing is known. */
function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
