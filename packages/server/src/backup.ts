/**
 * A backup of the shard: one consistent image, streamed to another store while callers go on, the manifest last. It holds metadata; bodies
 * stay in the store that they are in.
 */
import type { ShardEngine, WrittenImage } from '@nokv/meta';
import { openObjectStore } from '@nokv/object';
import { NokvError, type BackupArgs, type BackupItem, type Clock, type Random, type Version } from '@nokv/types';
import { logStoreOf } from './log-store-of.js';

export interface BackupParts {
  readonly engine: ShardEngine;
  readonly clock: Clock;
  readonly random: Random;
  /** Where the credentials of the destination are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the store that the bodies are in: a restored shard knows it again. */
  readonly namespace: string;
}

/** Where in its destination a backup lies. */
export const BACKUP_PREFIX = 'backup/';

/**
 * Ends with one `done`; left early, it stops before the manifest. Errors: `exists` (something is there), `bad-configuration`, and those
 * of the store.
 */
export async function* backupShard(parts: BackupParts, { destination }: BackupArgs, signal: AbortSignal): AsyncGenerator<BackupItem> {
  const { engine, clock, random, env, namespace } = parts;
  const objects = await openObjectStore(destination, { clock, random, env });
  const stop = new AbortController();
  try {
    const { objects: found } = await objects.list(BACKUP_PREFIX, { limit: 1 });
    if (found[0] !== undefined) {
      throw new NokvError('exists', `expected nothing below ${objects.description}, found ${found[0].key}; give a place that is empty`);
    }
    let progress: { readonly rows: number; readonly bytes: number } | undefined;
    let wake: () => void = () => undefined;
    let ended: { readonly written: WrittenImage } | { readonly error: unknown } | undefined;
    const writing = engine
      .writeImage({
        store: logStoreOf(objects),
        prefix: () => BACKUP_PREFIX,
        namespace,
        onBlock: (rows, bytes) => {
          progress = { rows, bytes };
          wake();
        },
        mayGoOn: () => {
          signal.throwIfAborted();
          stop.signal.throwIfAborted();
        },
      })
      .then(
        (written) => (ended = { written }),
        (error: unknown) => (ended = { error }),
      )
      .finally(() => wake());
    try {
      // Each turn waits for a block or the end; what was written meanwhile is told at once.
      while (ended === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (progress !== undefined || ended !== undefined) resolve();
        });
        const told = progress;
        progress = undefined;
        if (told !== undefined && ended === undefined) yield { kind: 'progress', ...told };
      }
      yield doneItem(ended);
    } finally {
      stop.abort(new NokvError('cancelled', 'nobody waits for this backup any more'));
      await writing;
    }
  } finally {
    await objects.close();
  }
}

function doneItem(ended: { readonly written: WrittenImage } | { readonly error: unknown }): BackupItem {
  if ('error' in ended) throw ended.error;
  const { version, rows, bytes, blocks, stateDigest } = ended.written.manifest;
  return { kind: 'done', version: version as Version, rows, bytes, blocks: blocks.length, digest: stateDigest };
}
