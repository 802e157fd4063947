export type { Acquisition, Coordinator, NodeIdentity, Ownership, ShardRecord } from './coordinator.js';
