/**
 * Where the notes of unfinished uploads lie: `$XDG_STATE_HOME/nokv/uploads` (default `~/.local/state/nokv/uploads`), one file for each
 * local file, destination and server. What outlived its upload is removed by later puts.
 */
import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UPLOAD_TTL_MS_MAX } from '@nokv/types';
import type { CliIo } from './cli-io.js';

const SUFFIX = '.jsonl';
/** Looked at by one put. */
const OLD_FILES_MAX = 1000;

export function uploadStateFile(io: CliIo, server: string, destination: string, file: string | Uint8Array): string {
  const name = createHash('sha256').update(`${server}\0${destination}\0`).update(file).digest('hex').slice(0, 32);
  return join(stateDirectory(io), `${name}${SUFFIX}`);
}

/** Removes notes of uploads that have expired. What cannot be removed stays: it is in nobody's way. */
export async function removeOldUploadState(io: CliIo): Promise<void> {
  const directory = stateDirectory(io);
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(SUFFIX)).slice(0, OLD_FILES_MAX);
  const before = io.clock.nowMs() - 2 * UPLOAD_TTL_MS_MAX;
  for (const name of names) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < before) await rm(path, { force: true }).catch(() => undefined);
  }
}

function stateDirectory({ env }: CliIo): string {
  const base = env.XDG_STATE_HOME || join(env.HOME || homedir(), '.local', 'state');
  return join(base, 'nokv', 'uploads');
}
