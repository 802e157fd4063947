/** Opens the device and asks mount(8) to put it on a directory; takes it away again with umount(8). */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { NokvError } from '@nokv/types';
import { MAX_WRITE_BYTES } from './protocol.js';

export interface DeviceOptions {
  readonly directory: string;
  /** Shown as the device in the mount table. */
  readonly source: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly isBlocking: boolean;
}

/** The descriptor of a session that is mounted but not yet answered. */
export async function mountDevice(options: DeviceOptions): Promise<number> {
  let descriptor: number;
  try {
    descriptor = openSync('/dev/fuse', constants.O_RDWR | (options.isBlocking ? 0 : constants.O_NONBLOCK));
  } catch (cause) {
    throw new NokvError(
      'unsupported',
      `expected to open /dev/fuse, found ${(cause as NodeJS.ErrnoException).code}; load the fuse module or give this process the device`,
      { cause },
    );
  }
  const flags = [
    'fd=3',
    'rootmode=40000',
    `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`,
    'default_permissions',
    `max_read=${MAX_WRITE_BYTES}`,
    ...(options.allowOther ? ['allow_other'] : []),
    options.readOnly ? 'ro' : 'rw',
  ];
  const { status, output } = await run(
    'mount',
    ['-i', '-t', 'fuse.nokv', '-o', flags.join(','), options.source, options.directory],
    descriptor,
  );
  if (status === 0) return descriptor;
  closeSync(descriptor);
  throw new NokvError('not-permitted', `mount(8) refused ${options.directory}: ${output || `exit code ${status}`}`);
}

/** Errors: `directory-in-use` when files are open and `force` is not set. */
export async function unmountDevice(directory: string, force: boolean): Promise<void> {
  const { status, output } = await run('umount', ['-i', ...(force ? ['-l'] : []), directory]);
  if (status === 0 || !isMountPoint(directory)) return;
  if (/busy/.test(output))
    throw new NokvError('directory-in-use', `${directory} is in use; close what is open there, or detach it with force`);
  throw new NokvError('not-permitted', `umount(8) refused ${directory}: ${output || `exit code ${status}`}`);
}

/** Whether a filesystem is mounted on exactly this directory (last mount wins), and of which type. */
export function mountedType(directory: string): string | undefined {
  let type: string | undefined;
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, place, kind] = line.split(' ');
    if (place !== undefined && unescapeMountField(place) === directory) type = kind;
  }
  return type;
}

export function isMountPoint(directory: string): boolean {
  return mountedType(directory) !== undefined;
}

/** proc_mounts(5): space, tab, newline and backslash are written as octal. */
function unescapeMountField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

async function run(command: string, args: readonly string[], descriptor?: number): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe', ...(descriptor === undefined ? [] : [descriptor])] });
    let output = '';
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', (error) => resolve({ status: 127, output: error.message }));
    child.once('close', (status) => resolve({ status: status ?? 1, output: output.trim().replace(/\s+/g, ' ') }));
  });
}
