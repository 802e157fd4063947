export { connect, type ConnectOptions } from './connect.js';
export type {
  AtLike,
  AtOption,
  CloneOptions,
  Conflict,
  Difference,
  DiffPoint,
  MergeOptions,
  MergeOutcome,
  Pin,
  PinListOptions,
  PinOutcome,
  Pruned,
  PruneOptions,
  Retention,
  RetentionInfo,
  RevertOptions,
  RevertOutcome,
  RollbackOptions,
  RollbackOutcome,
  SnapshotOptions,
  Snapshots,
  TagOptions,
  Tags,
  UndeleteOptions,
} from './history.js';
export type { ClientSession, FileLike, HeldLock, LockOptions, OpenFile, SessionOptions } from './sessions.js';
export type { CallOptions, LockWaitOptions, MetadataClient, MutateOptions, Mutated, TicketedUpload } from './metadata-client.js';
export type {
  AttributeChanges,
  BackupOptions,
  CopyOptions,
  DirectoryEntry,
  DirectoryPage,
  GetOptions,
  ListOptions,
  MkdirOptions,
  MutationOptions,
  NodeOutcome,
  NokvClient,
  Outcome,
  PathLike,
  PublishOptions,
  PutOptions,
  PutOutcome,
  ResumeOptions,
  SpliceOptions,
  SpliceOutcome,
  StageOptions,
  StagedBody,
  TimeLike,
} from './nokv-client.js';
export type {
  Batch,
  MutationList,
  RangeRead,
  RangeRequest,
  ReadFile,
  ReadManyOptions,
  ReadRangesOptions,
  Requirement,
  Transaction,
  TransactionOutcome,
} from './lists.js';
export type { BodyHandle, BodyRange, BodyReuse } from './body-handle.js';
export type { Progress, ProgressListener } from './progress.js';
export type { PutSource } from './put-source.js';
export type {
  ArchiveOptions,
  ExportOptions,
  GetFileOptions,
  GetTreeOptions,
  ImportOptions,
  PutTreeOptions,
  SyncOptions,
  SyncReport,
  TreeChange,
  TreeFailure,
  TreeFilterOptions,
  TreeReport,
  UnarchiveOptions,
} from './trees.js';
export type { ChangeChoice, PastChangesOptions, Watch, WatchEvent, WatchOptions } from './watch-event.js';
export type { SentBody, UploadTicket, UploadTtl, Uploads } from './uploads.js';
export type { CacheFigures, CacheOptions } from './cache-options.js';
export type { TierDirectory, TierReport, Tiers, WarmOptions } from './tier/tiers.js';
export { wirePlane } from './wire-plane.js';
export { openConnection, openConnectionOver, type OpenConnectionOptions } from './wire/open-connection.js';
export type { Connection, WireCallOptions, WireMutationOptions, WireReadOptions, WireStreamOptions } from './wire/connection.js';
export type { Dial } from './session/link.js';
/** For adapters (the mount) that read and write blocks themselves and know no store. */
export { BodyReader, crc32c, type BlockStore } from '@nokv/object';
export { STORAGE_DEFAULT, type Storage, type StorageInfo, type StorageSettings } from './storage.js';
