import { NokvError } from '@nokv/types';
import type { MountOptions, RunningMount } from './mount-options.js';

/** Mounts in this process and resolves once the mount answers. Never touch the mount with synchronous calls from the same thread. */
export async function startMount(options: MountOptions): Promise<RunningMount> {
  throw new NokvError('unsupported', `cannot mount on ${options.directory} yet`);
}
