export type { BlockStore, GetBlockOptions, PutBlockOptions } from './block-store.js';
export type {
  DeleteOptions,
  GetOptions,
  ListOptions,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoreCallOptions,
  StoreHealth,
  StoredAs,
} from './object-store.js';
export { LIST_KEYS_MAX, checkKey } from './object-key.js';
export { crc32c, formatCrc32c, parseCrc32c } from './block-checksum.js';
export { FILE_STORE_FORMAT } from './file/file-layout.js';
export { openFileStore, type FileStoreOptions } from './file/file-object-store.js';
export {
  memoryStore,
  type MemoryObjectStore,
  type MemoryStoreOptions,
  type StoreCall,
  type StoreFault,
} from './memory/memory-object-store.js';
export { blocksOf, removeUploadBlocks } from './store-blocks.js';
export { NAMESPACE_MARKER_FORMAT, claimNamespace, readNamespaceMarker } from './namespace-marker.js';
export { memorySource, byteSourceOf, openLocalFile, type BodySource, type ByteSource } from './body/byte-source.js';
export { digestOf, sharedDigest } from './body/body-digest.js';
export { compressPiece, plainBytesOf, type CompressedBytes } from './body/compression.js';
export { UploadSession, type UploadGrant, type UploadSessionOptions } from './body/upload-session.js';
export {
  UPLOAD_PARALLEL_DEFAULT,
  isZero,
  uploadBody,
  type BlockPlace,
  type ResumeHooks,
  type StoredBlock,
  type UploadBodyOptions,
  type UploadedBody,
} from './body/upload-body.js';
export { PackedUpload, type PackedUploadOptions } from './body/packed-upload.js';
export type { PresignedPut, PresignedRequest, S3Presigner } from './s3/presign.js';
export { S3_CLIENTS, openS3Store, type S3ClientKind, type S3Store, type S3StoreOptions } from './s3/s3-object-store.js';
export {
  BodyReader,
  type BodyHandle,
  type BodyRangeRead,
  type BodyReaderOptions,
  type ReadOptions,
  type ReaderFigures,
  type StreamOptions,
} from './body/body-reader.js';
export { DISK_CACHE_BYTES_DEFAULT, DiskCache, type DiskCacheFigures, type DiskCacheOptions } from './cache/disk-cache.js';
export { CACHE_PINS_MAX, diskBytesOf, type CachePin } from './cache/cache-pins.js';
export { entryDiskBytes, entryName, parseEntryName, type PieceKey } from './cache/cache-entry.js';
export { describeS3, parseS3Url, type S3Location } from './s3/s3-location.js';
export { openObjectStore } from './open-object-store.js';
export { proxiedBlockStore, type ProxiedBlockStoreOptions } from './proxied-block-store.js';
export { orAborted } from './cancellation.js';
export { openBlockStore, type OpenBlockStoreOptions, type PresignCalls } from './open-block-store.js';
export { examineStore, type CapabilityFinding } from './examine-store.js';
export { STORE_CAPABILITIES, admissionProbe, type AdmissionResult, type StoreCapability } from './admission-probe.js';
export { RETRY_POLICY_DEFAULT, type RetryPolicy } from './retries.js';
