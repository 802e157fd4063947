/** From moments as callers write them to moments as the operations take them. */
import type { At } from '@nokv/types';
import { NokvError, pinId, version } from '@nokv/types';
import type { AtLike } from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import { timespec } from './arguments.js';

export function momentOf(at: AtLike): At {
  if ('snapshot' in at) return { snapshot: pinId(at.snapshot) };
  if ('tag' in at) return { tag: at.tag };
  if ('version' in at) return { version: version(at.version) };
  if ('time' in at) return { time: timespec(at.time) };
  throw new NokvError('invalid-argument', 'expected a moment: { snapshot }, { tag }, { version } or { time }');
}

/** The member `at` of an operation's arguments, or nothing. */
export function atArgument({ at }: { readonly at?: AtLike | undefined }): { readonly at?: At } {
  return at === undefined ? {} : { at: momentOf(at) };
}

/**
 * The same moment in a form that stays: a tag may be moved and the newest commit at a time may change between two calls of one long
 * read, a version may not. A tag becomes its pin, a time its version.
 */
export async function fixedMoment(metadata: MetadataClient, at: AtLike | undefined, options: CallOptions): Promise<At | undefined> {
  if (at === undefined) return undefined;
  const moment = momentOf(at);
  if ('tag' in moment) return { snapshot: (await metadata.read('pin', { pin: moment }, options)).id };
  if ('time' in moment) return { version: (await metadata.read('version-at', { at: moment }, options)).version };
  return moment;
}
