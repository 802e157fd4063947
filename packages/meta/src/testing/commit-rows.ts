/** What a commit says, read from its rows alone: the eyes of a simulation that watches the store below the engine. */
import type { RequestId, UploadId } from '@nokv/types';
import { FAMILY, SYSTEM_ITEM, familyEnd, familyStart, parseChangeKey, requestKey } from '../key.js';
import { uploadsOf } from '../operations/extents.js';
import { decodeSegment } from '../log/segment.js';
import type { KvReader, KvWrite } from '../ordered-kv.js';
import { decodeBody } from '../value-body.js';
import { decodeChange, decodeProgress, type ChangeRow, type ProgressRow } from '../value-log.js';

export interface CommitRows {
  /** In order of version and ordinal, bare requests included. */
  readonly changes: readonly ChangeRow[];
  /** Results of requests that no change of the commit names: each should have its change. */
  readonly strayResults: number;
  /** Uploads that bodies written here name. */
  readonly bodyUploads: ReadonlySet<UploadId>;
  readonly progress: ProgressRow | undefined;
}

export function rowsOfCommit(writes: readonly KvWrite[]): CommitRows {
  const changes: ChangeRow[] = [];
  const results = new Set<string>();
  const bodyUploads = new Set<UploadId>();
  let progress: ProgressRow | undefined;
  for (const { key, value } of writes) {
    if (value === undefined) continue;
    if (key[0] === FAMILY.change) {
      const { version, ordinal } = parseChangeKey(key);
      changes.push(decodeChange(version, ordinal, value));
    } else if (key[0] === FAMILY.request) results.add(Buffer.from(key).toString('hex'));
    else if (key[0] === FAMILY.body) for (const upload of uploadsOf(decodeBody(value).body)) bodyUploads.add(upload);
    else if (key[0] === FAMILY.system && key[1] === SYSTEM_ITEM.progress) progress = decodeProgress(value);
  }
  changes.sort((a, b) => a.version - b.version || a.ordinal - b.ordinal);
  for (const { requestId } of changes) results.delete(requestKey(requestId as RequestId).toString('hex'));
  return { changes, strayResults: results.size, bodyUploads, progress };
}

/** Uploads that the stored bodies name, superseded ones included. */
export function uploadsInBodies(kv: KvReader): Set<UploadId> {
  const uploads = new Set<UploadId>();
  for (const { value } of kv.range(familyStart(FAMILY.body), familyEnd(FAMILY.body))) {
    for (const upload of uploadsOf(decodeBody(value).body)) uploads.add(upload);
  }
  return uploads;
}

/** The commands of a segment of the shared log with their versions; those that the shard asked of itself have no request id. */
export function commandsOfSegment(
  key: string,
  bytes: Uint8Array,
): readonly { readonly version: number; readonly requestId: string | undefined }[] {
  return decodeSegment(key, bytes).batches.flatMap(({ firstVersion, commands }) =>
    commands.map((command, i) => ({ version: firstVersion + i, requestId: 'requestId' in command ? command.requestId : undefined })),
  );
}
