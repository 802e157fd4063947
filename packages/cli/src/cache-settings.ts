/** Which disk cache a command uses: what is configured, else the user's own cache directory. */
import { isAbsolute, join, resolve } from 'node:path';
import type { CacheOptions } from '@nokv/client';
import type { Call } from './command.js';

type Configured = Pick<Call, 'settings' | 'io'>;

/** Of the client: a directory, or none. Without a notice, so that it can be handed to another process. */
export function cacheOptions({ settings, io }: Configured): Omit<CacheOptions, 'note'> {
  const { value, source } = settings.resolve('cacheDir');
  const bytesMax = settings.must('cacheSize');
  if (value === 'off' || bytesMax === 0) return {};
  const directory = value === undefined ? userCacheDirectory(io.env) : resolve(io.cwd, value);
  // Nobody asked for copies of what lies on this machine's disk anyway.
  return directory === undefined ? {} : { directory, bytesMax, skipLocal: source === 'default' };
}

/** Of a server: only where a directory was named. */
export function serverCache({ settings, io }: Configured): { readonly directory: string; readonly bytesMax: number } | undefined {
  const { directory, bytesMax, skipLocal = true } = cacheOptions({ settings, io });
  return directory === undefined || bytesMax === undefined || skipLocal ? undefined : { directory, bytesMax };
}

/** `nokv` below `$XDG_CACHE_HOME`, which has to be absolute, else below `~/.cache` (XDG Base Directory Specification). */
function userCacheDirectory(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { XDG_CACHE_HOME: given, HOME: home } = env;
  if (given !== undefined && isAbsolute(given)) return join(given, 'nokv');
  return home !== undefined && isAbsolute(home) ? join(home, '.cache', 'nokv') : undefined;
}
