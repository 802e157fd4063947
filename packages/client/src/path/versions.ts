/** Versions of one file: which there are, and which may go. */
import type { Generation, LogRow, PruneArgs } from '@nokv/types';
import { formatName } from '@nokv/types';
import type { Pruned, PruneOptions } from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import type { PathLike } from '../nokv-client.js';
import { pathBytes } from './arguments.js';
import type { Commits } from './commits.js';
import { derivedRequestId } from './publish-body.js';

const PAGE = 500;

export async function* logPath(metadata: MetadataClient, path: PathLike, options: CallOptions): AsyncGenerator<LogRow> {
  const node = { path: pathBytes(path) };
  let before: Generation | undefined;
  // Ends at the oldest generation that is kept; each page begins before the last row of the one before.
  for (;;) {
    const { rows, more } = await metadata.read('log', { node, limit: PAGE, ...(before === undefined ? {} : { before }) }, options);
    yield* rows;
    before = rows.at(-1)?.generation;
    if (!more || before === undefined) return;
  }
}

/** Page by page, each in a commit of its own: what was told is gone, even when the loop is left or fails later. */
export async function* prunePath(
  metadata: MetadataClient,
  commits: Commits,
  path: PathLike,
  options: PruneOptions,
): AsyncGenerator<Pruned> {
  const { signal, timeoutMs, keepLast, keepMs, dryRun = false } = options;
  const args: PruneArgs = {
    node: { path: pathBytes(path) },
    ...(keepLast === undefined ? {} : { keepLast }),
    ...(keepMs === undefined ? {} : { keepMs }),
    limit: PAGE,
  };
  const first = commits.requestId(options);
  let cursor: Uint8Array | undefined;
  // Ends with the subtree: each page goes on after the cursor of the one before.
  for (let page = 0; ; page++) {
    const asked = cursor === undefined ? args : { ...args, cursor };
    const result = dryRun
      ? await metadata.read('prune-plan', asked, { signal, timeoutMs })
      : (await metadata.mutate('prune', asked, { signal, timeoutMs, requestId: page === 0 ? first : derivedRequestId(first, `p${page}`) }))
          .result;
    for (const { path: bytes, ...rest } of result.bodies) yield { ...rest, path: formatName(bytes), pathBytes: bytes };
    if (result.cursor === undefined) return;
    cursor = result.cursor;
  }
}
