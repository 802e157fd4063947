/** Identifiers. Branded so that an inode number is never passed where a version is meant. */
import { NokvError } from './errors.js';

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Safe integer, `shard * 2^41 + local`; never reused. */
export type InodeNumber = Brand<number, 'InodeNumber'>;
/** A shard's commit number, a safe integer; version order is apply order. */
export type Version = Brand<number, 'Version'>;
/** A snapshot, a tag or a fork: the version of the commit that made it. */
export type PinId = Brand<number, 'PinId'>;
/** The version that published a body; 0 means "no body yet" (and "create only" in preconditions). */
export type Generation = Brand<number, 'Generation'>;
/** 0 to 4,095. */
export type ShardId = Brand<number, 'ShardId'>;
/** A fencing number: rises by at least one with every change of owner. */
export type Epoch = Brand<number, 'Epoch'>;
/** 32 lower-case hex characters: 12 of milliseconds, 20 random. Time-ordered and unguessable. */
export type UploadId = Brand<string, 'UploadId'>;
/** 32 lower-case hex characters, made as upload ids are: who knows one may act under it. */
export type SessionId = Brand<string, 'SessionId'>;
/** 1 to 64 characters of `[A-Za-z0-9_.:-]`, chosen by the client; identifies a mutation across retries. */
export type RequestId = Brand<string, 'RequestId'>;

export const SHARDS_MAX = 4096;
export const LOCAL_INODES_PER_SHARD = 2 ** 41;

export function inodeNumber(value: number): InodeNumber {
  if (!Number.isSafeInteger(value) || value < 1) throw invalidId('inode number', value);
  return value as InodeNumber;
}

export function makeInodeNumber(shard: ShardId, local: number): InodeNumber {
  if (!Number.isSafeInteger(local) || local < 1 || local >= LOCAL_INODES_PER_SHARD) throw invalidId('local inode number', local);
  return (shard * LOCAL_INODES_PER_SHARD + local) as InodeNumber;
}

export function shardOfInode(ino: InodeNumber): ShardId {
  return Math.floor(ino / LOCAL_INODES_PER_SHARD) as ShardId;
}

export function localOfInode(ino: InodeNumber): number {
  return ino % LOCAL_INODES_PER_SHARD;
}

export function shardId(value: number): ShardId {
  if (!Number.isInteger(value) || value < 0 || value >= SHARDS_MAX) throw invalidId('shard id', value);
  return value as ShardId;
}

export function pinId(value: number): PinId {
  if (!Number.isSafeInteger(value) || value < 1) throw invalidId('snapshot id', value);
  return value as PinId;
}

export function version(value: number): Version {
  if (!Number.isSafeInteger(value) || value < 0) throw invalidId('version', value);
  return value as Version;
}

export function generation(value: number): Generation {
  if (!Number.isSafeInteger(value) || value < 0) throw invalidId('generation', value);
  return value as Generation;
}

export function epoch(value: number): Epoch {
  if (!Number.isSafeInteger(value) || value < 0) throw invalidId('epoch', value);
  return value as Epoch;
}

const HEX_ID = /^[0-9a-f]{32}$/;
/** The most of a request id. */
export const REQUEST_ID_CHARACTERS_MAX = 64;
const REQUEST_ID = /^[A-Za-z0-9_.:-]{1,64}$/;

export function uploadId(value: string): UploadId {
  if (!HEX_ID.test(value)) throw invalidId('upload id', value);
  return value as UploadId;
}

export function makeUploadId(nowMs: number, randomBytes: Uint8Array): UploadId {
  return uploadId(timeOrdered(nowMs, randomBytes));
}

/** When an upload began, as its id says. */
export function uploadTimeMs(upload: UploadId): number {
  return Number.parseInt(upload.slice(0, 12), 16);
}

export function sessionId(value: string): SessionId {
  if (!HEX_ID.test(value)) throw invalidId('session id', value);
  return value as SessionId;
}

export function makeSessionId(nowMs: number, randomBytes: Uint8Array): SessionId {
  return sessionId(timeOrdered(nowMs, randomBytes));
}

export function requestId(value: string): RequestId {
  if (!REQUEST_ID.test(value)) throw invalidId('request id', value);
  return value as RequestId;
}

const COUNT_AT = 24;
const COUNTS = 2 ** 32;

/**
 * The request id of the item at a place of a batch: an id as clients draw them goes on counting from that of the batch, any other gets a
 * dot and the place. @returns a function of the place.
 */
export function batchItemIds(batch: RequestId): (place: number) => RequestId {
  if (!HEX_ID.test(batch)) return (place) => `${batch}.${place}` as RequestId;
  const head = batch.slice(0, COUNT_AT);
  const first = Number.parseInt(batch.slice(COUNT_AT), 16);
  return (place) => (head + ((first + place) % COUNTS).toString(16).padStart(8, '0')) as RequestId;
}

/**
 * Ids of one time lie beside each other in the shard's table of results, so that a batch of them changes few pages:
 * with fully random ids every request dirties a page of its own.
 */
export function makeRequestId(nowMs: number, randomBytes: Uint8Array): RequestId {
  return timeOrdered(nowMs, randomBytes) as RequestId;
}

/** 12 hex characters of milliseconds, 20 of randomness. */
function timeOrdered(nowMs: number, randomBytes: Uint8Array): string {
  let id = Math.floor(nowMs).toString(16).padStart(12, '0');
  for (let i = 0; i < ID_RANDOM_BYTES; i++) id += HEX_PAIRS[randomBytes[i] as number];
  if (id.length !== 32) throw invalidId('time-ordered id', id);
  return id;
}

/** By byte: every mutation has an id, and looking pairs up is quicker than a buffer for ten bytes. */
const HEX_PAIRS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Fresh bytes that an id takes. */
export const ID_RANDOM_BYTES = 10;

/** The root directory of shard 0. */
export const ROOT_INODE = 1 as InodeNumber;
/** Trees that are being published are built under this directory, which no path reaches. */
export const STAGING_INODE = 2 as InodeNumber;
/** Trees that were replaced or removed at once wait under this directory to be taken apart in slices. */
export const TRASH_INODE = 3 as InodeNumber;

function invalidId(what: string, value: unknown): NokvError {
  return new NokvError('invalid-argument', `expected a valid ${what}, found ${JSON.stringify(value)}`);
}
