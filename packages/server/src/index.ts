export { startServer } from './start-server.js';
export type { LogLevel, RunningServer, ServerConfig, ServerPorts } from './server-config.js';
export type { Peer, ServedMutateContext, Service, WatchOptions } from './service.js';
