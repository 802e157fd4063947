/** {@link Batch} and what is written over it: many files made or removed at once. */
import {
  BATCH_MAX,
  batchItemIds,
  isNokvError,
  type BatchAnswer,
  type BatchItem,
  type ListedMutation,
  type Settled,
  type UploadId,
} from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { Batch } from '../lists.js';
import type { MutationOptions, NodeOutcome, Outcome, PathLike } from '../nokv-client.js';
import { PathMutationList } from './mutation-list.js';
import { derivedRequestId } from './publish-body.js';

/** About the bytes of one request: well below a frame. */
const REQUEST_BYTES_MAX = 3 * 1024 * 1024;
/** What a mutation takes beside its paths and bytes. */
const MUTATION_BYTES = 128;

export class PathBatch extends PathMutationList implements Batch {
  async send(options: Omit<MutationOptions, 'owner'> = {}): Promise<readonly BatchAnswer[]> {
    const requestId = options.requestId ?? this.context.requestIds.draw(this.length);
    const itemId = batchItemIds(requestId);
    const { mutations, uploads } = await this.prepare(options);
    const answers: BatchAnswer[] = [];
    for (const items of split(mutations)) {
      const id = answers.length === 0 ? requestId : itemId(answers.length);
      answers.push(...(await this.context.metadata.mutateMany(items, { ...options, requestId: id })));
    }
    const refused = mutations.flatMap((mutation, at) => (answers[at]?.ok === true ? [] : uploadsOf(mutation)));
    await this.giveUp(refused.filter((upload) => uploads.includes(upload)));
    return answers;
  }
}

/** Files without a body, or with answers that say why not. */
export async function createMany(
  context: ClientContext,
  paths: Iterable<PathLike>,
  options: MutationOptions & { readonly mode?: number; readonly exclusive?: boolean },
): Promise<readonly Settled<NodeOutcome>[]> {
  const batch = new PathBatch(context);
  for (const path of paths) batch.create(path, options);
  const requestId = options.requestId ?? context.requestIds.draw(batch.length);
  const answers = await batch.send({ ...options, requestId });
  return answers.map((answer) => {
    if (!answer.ok) return answer;
    const { version, result } = answer.value;
    return { ok: true, value: { version, requestId, attributes: (result as { attributes: NodeOutcome['attributes'] }).attributes } };
  });
}

/** Files, symlinks and empty directories: what turns out to be a directory is asked for again as one. */
export async function removeMany(
  context: ClientContext,
  paths: Iterable<PathLike>,
  options: MutationOptions,
): Promise<readonly Settled<Outcome>[]> {
  const list = [...paths];
  const requestId = options.requestId ?? context.requestIds.draw(list.length);
  const first = new PathBatch(context);
  for (const path of list) first.unlink(path);
  const answers = [...(await first.send({ ...options, requestId }))];
  const directories = answers.flatMap((answer, at) => (!answer.ok && isNokvError(answer.error, 'is-directory') ? [at] : []));
  if (directories.length > 0) {
    const second = new PathBatch(context);
    for (const at of directories) second.rmdir(list[at] as PathLike);
    const again = await second.send({ ...options, requestId: derivedRequestId(requestId, 'd') });
    directories.forEach((at, place) => (answers[at] = again[place] as BatchAnswer));
  }
  return answers.map((answer) => (answer.ok ? { ok: true, value: { version: answer.value.version, requestId } } : answer));
}

/** Parts that fit into a request each. */
function split(mutations: readonly ListedMutation[]): BatchItem[][] {
  const parts: BatchItem[][] = [];
  let part: BatchItem[] = [];
  let bytes = 0;
  for (const mutation of mutations) {
    const more = mutationBytes(mutation);
    if (part.length > 0 && (part.length === BATCH_MAX || bytes + more > REQUEST_BYTES_MAX)) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(mutation);
    bytes += more;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** About what a mutation takes in a request. */
export function mutationBytes({ args }: ListedMutation): number {
  let bytes = MUTATION_BYTES;
  for (const member of Object.values(args) as unknown[]) {
    if (member instanceof Uint8Array) bytes += member.length;
    else if (typeof member === 'object' && member !== null) {
      if ('path' in member) bytes += (member.path as Uint8Array).length;
      if ('bytes' in member) bytes += (member.bytes as Uint8Array).length;
      if ('manifest' in member) bytes += (member.manifest as { extents: readonly unknown[] }).extents.length * 48;
    }
  }
  return bytes;
}

function uploadsOf({ operation, args }: ListedMutation): readonly UploadId[] {
  return operation === 'publish' && args.upload !== undefined ? [args.upload] : [];
}
