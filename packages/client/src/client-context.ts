/** What the modules of the path-level client share. */
import type { BlockStore, BodyReader, DiskCache } from '@nokv/object';
import type { AccessResult, Clock, Owner, Random } from '@nokv/types';
import type { CallOptions, MetadataClient } from './metadata-client.js';
import type { RequestIds } from './request-ids.js';

export interface ClientContext {
  readonly metadata: MetadataClient;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly random: Random;
  readonly requestIds: RequestIds;
  /** Opened by the first call that needs it. */
  readonly store: BlockStore;
  /** Where this client keeps blocks on its own disk, if it does. */
  readonly disk: DiskCache | undefined;
  /** Verified blocks of all bodies of this client, in one bounded cache. */
  readonly reader: BodyReader;
  /** Asked once and kept; a failure is asked again by the next caller. */
  access(options?: CallOptions): Promise<AccessResult>;
}
