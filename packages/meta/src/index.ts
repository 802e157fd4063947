export { openShard, type ShardOptions } from './shard.js';
export type { Committed, MutateContext, ReadContext, ShardEngine, ShardGate, ShardStats } from './shard-engine.js';
export type { LogWindow } from './maintenance.js';
export type { Retention } from './command.js';
export type { KvCommit, KvEntry, KvReader, KvSnapshot, KvWrite, OrderedKv } from './ordered-kv.js';
export { openLmdbKv, type LmdbKvOptions } from './lmdb-kv.js';
export { MemoryKv, type MemoryKvFault, type MemoryKvOptions } from './memory-kv.js';
export { SHARD_FORMAT } from './key.js';
