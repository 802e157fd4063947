/** Copies within a namespace: blocks are shared; where they cannot be, the bytes go through this client. */
import type { EntryRef, NodeRef } from '@nokv/types';
import { generation, isNokvError } from '@nokv/types';
import { handleOf } from '../body/open-body.js';
import type { ClientContext } from '../client-context.js';
import type { CopyOptions, PutOutcome } from '../nokv-client.js';
import { atArgument } from './moment.js';
import { publishBody, putBody } from './publish-body.js';

/** How often the source may be replaced, and its old body swept, before we give up. */
const ATTEMPTS_MAX = 8;

export async function copyBody(context: ClientContext, from: NodeRef, to: NodeRef & EntryRef, options: CopyOptions): Promise<PutOutcome> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await copyOnce(context, from, to, options);
    } catch (error) {
      // Between our look at the source and the commit its blocks stopped being those of a body: the commit takes no others.
      if (!isNokvError(error, 'bad-upload') || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

async function copyOnce(context: ClientContext, from: NodeRef, to: NodeRef & EntryRef, options: CopyOptions): Promise<PutOutcome> {
  const args = {
    node: from,
    ...(options.generation === undefined ? {} : { generation: generation(options.generation) }),
    ...atArgument(options),
  };
  const plan = await context.metadata.read('open-read', args, options);
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
