/** The bodies at and below a path, plans and all, in few requests: one a page of a directory and one for each 256 files. */
import { LIST_LIMIT_MAX, NokvError, isNokvError, joinPath, splitPath, type At, type ReadPlan } from '@nokv/types';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import { readPlans } from '../path/read-plans.js';

export interface PlannedFile {
  readonly path: Uint8Array;
  readonly plan: ReadPlan;
}

/** What is removed meanwhile is left out, unless it is the path itself. Symlinks below are not followed. */
export async function* treePlans(
  metadata: MetadataClient,
  root: Uint8Array,
  at: At | undefined,
  options: CallOptions,
): AsyncGenerator<PlannedFile> {
  const moment = at === undefined ? {} : { at };
  const top = await metadata.read('stat', { node: { path: root }, ...moment }, options);
  if (top.type !== 'directory') {
    yield { path: root, plan: await metadata.read('open-read', { node: { path: root }, ...moment }, options) };
    return;
  }
  const directories: Uint8Array[] = [root];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for await (const entries of pages(metadata, directory, moment, options)) {
      const parent = splitPath(directory);
      const files: Uint8Array[] = [];
      for (const { name, type } of entries) {
        const path = joinPath([...parent, name]);
        if (type === 'directory') directories.push(path);
        else if (type === 'file') files.push(path);
      }
      yield* plansOf(metadata, files, at, options);
    }
  }
}

async function* plansOf(
  metadata: MetadataClient,
  files: readonly Uint8Array[],
  at: At | undefined,
  options: CallOptions,
): AsyncGenerator<PlannedFile> {
  let done = 0;
  const wanted = files.map((path) => ({ node: { path } }));
  for await (const plans of readPlans(metadata, wanted, at, options)) {
    for (const plan of plans) {
      const path = files[done++];
      if (plan.ok && path !== undefined) yield { path, plan: plan.value };
      else if (!plan.ok && !isNokvError(plan.error, 'not-found')) throw plan.error;
    }
  }
}

async function* pages(metadata: MetadataClient, directory: Uint8Array, moment: { readonly at?: At }, options: CallOptions) {
  let after: Uint8Array | undefined;
  // Ends at the last page; each page begins after the last name of the one before.
  for (;;) {
    const from = after === undefined ? {} : { after };
    const args = { node: { path: directory }, limit: LIST_LIMIT_MAX, attributes: false, ...from, ...moment };
    const { entries, more } = await metadata.read('list', args, options);
    yield entries;
    after = entries.at(-1)?.name;
    if (!more) return;
    if (after === undefined) throw new NokvError('internal', 'a listing goes on behind a page without entries');
  }
}
