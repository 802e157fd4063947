export { startServer } from './start-server.js';
export { restoreDataDirectory, type RestoreConfig } from './restore.js';
export { probeControl, probeStore, type StoreProbe } from './probes.js';
export { localPlane, type LocalPlaneParts } from './local-plane.js';
export type { ChangeWindow, LogLevel, RunningServer, ServerConfig, ServerPorts } from './server-config.js';
export type { Peer, ServedMutateContext, Service, WatchOptions } from './service.js';
export { RPC_LIMITS_DEFAULT, listenRpc, serveRpc } from './rpc/listen-rpc.js';
export type { ClientInfo, MutationCall, ReadCall, RpcHandlers, ServiceCall, StreamCall } from './rpc/handlers.js';
export type { RpcLimits, RpcListener, RpcOptions, RpcStats } from './rpc/rpc-listener.js';
