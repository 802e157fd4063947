import { NokvError } from '@nokv/types';
import type { RunningServer, ServerConfig, ServerPorts } from './server-config.js';

/** Starts one nokv process: data directory, store, ownership, shard, doors. Resolves once it serves. */
export function startServer(config: ServerConfig, ports: ServerPorts = {}): Promise<RunningServer> {
  return Promise.reject(new NokvError('unavailable', `cannot start on ${config.data} yet${ports.clock === undefined ? '' : '.'}`));
}
