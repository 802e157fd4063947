/** {@link Retention} over the inode-level client. */
import type { RetentionPolicy } from '@nokv/types';
import type { Retention, RetentionInfo } from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import type { MutationOptions, Outcome, PathLike } from '../nokv-client.js';
import { pathBytes } from './arguments.js';
import type { Commits } from './commits.js';

export class PathRetention implements Retention {
  readonly #metadata: MetadataClient;
  readonly #commits: Commits;

  constructor(metadata: MetadataClient, commits: Commits) {
    this.#metadata = metadata;
    this.#commits = commits;
  }

  async get(path: PathLike, options: CallOptions = {}): Promise<RetentionInfo> {
    const { policy, from } = await this.#metadata.read('retention-get', { node: { path: pathBytes(path) } }, options);
    return from === 0 ? { policy } : { policy, from };
  }

  set(path: PathLike, policy: RetentionPolicy | 'inherit', options: MutationOptions = {}): Promise<Outcome> {
    return this.#commits.run(options, async (call) => {
      const args = { node: { path: pathBytes(path) }, ...(policy === 'inherit' ? {} : { policy }) };
      return this.#metadata.mutate('retention-set', args, call);
    });
  }
}
