/**
 * What this machine lets a process have. A server with too little of it would fail somewhere while it loads itself, when clients come,
 * or inside the library of its metadata store, which ends the process: it is told before.
 */
import { readFileSync } from 'node:fs';
import { NokvError } from '@nokv/types';

/** Its own modules, the environment, both ports, and some clients. */
const OPEN_FILES_MIN = 256;
/** The map of the environment is reserved at once (64 GiB), so that growth never stalls; the rest is the runtime's. */
const ADDRESS_SPACE_MIN = 80 * 1024 ** 3;

export function checkProcessLimits(limits = readLimits()): void {
  const files = softLimitOf('Max open files', limits);
  if (files !== undefined && files < OPEN_FILES_MIN) {
    throw new NokvError(
      'bad-configuration',
      `a server needs at least ${OPEN_FILES_MIN} open files, this process may open ${files}; raise the limit ("ulimit -n 4096") and start again`,
      { details: { expected: OPEN_FILES_MIN, found: files } },
    );
  }
  const space = softLimitOf('Max address space', limits);
  if (space !== undefined && space < ADDRESS_SPACE_MIN) {
    throw new NokvError(
      'bad-configuration',
      `a server reserves at least ${ADDRESS_SPACE_MIN} bytes of address space (not of memory), this process may reserve ${space}; ` +
        'lift the limit ("ulimit -v unlimited") and start again',
      { details: { expected: ADDRESS_SPACE_MIN, found: space } },
    );
  }
}

/** Undefined where it is unlimited or not told. */
function softLimitOf(name: string, limits: string): number | undefined {
  const line = limits.split('\n').find((each) => each.startsWith(name));
  const found = line === undefined ? undefined : /^\s+(\d+)\s/.exec(line.slice(name.length))?.[1];
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
