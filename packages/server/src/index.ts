export { startServer } from './start-server.js';
export type { LogLevel, RunningServer, ServerConfig, ServerPorts } from './server-config.js';
export type { Peer, ServedMutateContext, ServedResult, Service, TicketedUpload, WatchOptions } from './service.js';
