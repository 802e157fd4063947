/** What the modules of the path-level client share. */
import type { BlockStore } from '@nokv/object';
import type { AccessResult, Clock, Owner, Random } from '@nokv/types';
import type { CallOptions, MetadataClient } from './metadata-client.js';

export interface ClientContext {
  readonly metadata: MetadataClient;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly random: Random;
  /** Asked once and kept; a failure is asked again by the next caller. */
  access(options?: CallOptions): Promise<AccessResult>;
  /** Opened once, by the first body that needs it. */
  blocks(options?: CallOptions): Promise<BlockStore>;
}
