/** Copies within a namespace: blocks are shared; where they cannot be, the bytes go through this client. */
import type { EntryRef, NodeRef } from '@nokv/types';
import { isNokvError } from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { CopyOptions, PutOutcome } from '../nokv-client.js';
import { publishBody, putBody } from './publish-body.js';

export async function copyBody(context: ClientContext, from: NodeRef, to: NodeRef & EntryRef, options: CopyOptions): Promise<PutOutcome> {
  const plan = await context.metadata.read('open-read', { node: from }, options);
  const { mode, mtime, ino } = plan.attributes;
  const publish = {
    ...(plan.contentType === undefined ? {} : { contentType: plan.contentType }),
    ...(options.preserve === true ? { mode, mtime } : { mode: undefined }),
    ...options,
  };
  const staged = plan.body.kind === 'inline' ? { body: plan.body } : { body: plan.body, base: ino };
  try {
    return await publishBody(context, to, { digest: plan.digest, staged }, publish);
  } catch (error) {
    if (!isNokvError(error, 'cross-shard')) throw error;
    return await putBody(context, to, handleOf(context, plan).stream(options), publish);
  }
}
