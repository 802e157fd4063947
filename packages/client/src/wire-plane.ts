import type { Plane } from '@nokv/agent';
import type { NokvClient } from './nokv-client.js';
import { NokvError } from '@nokv/types';

/** The verbs' view of a namespace over a client. */
export function wirePlane(client: NokvClient): Plane {
  void client;
  throw new NokvError('unavailable', 'no transport in this build');
}
