/**
 * Keys of a shard's log and images, below the prefix of the store:
 *
 *   meta/<4 digits>/origin                            the first image, and that the shard has been served (origin.ts)
 *   meta/<4 digits>/log/<20-digit sequence>           a segment (segment.ts), from 1 on without a gap
 *   meta/<4 digits>/image/<20-digit sequence>-<8 hex>/block-<6 digits>, …/manifest   an image (image.ts): the state after that segment
 */
import type { ShardId } from '@nokv/types';

export function originKey(shard: ShardId): string {
  return `${shardPrefix(shard)}origin`;
}

export function logPrefix(shard: ShardId): string {
  return `${shardPrefix(shard)}log/`;
}

export function segmentKey(shard: ShardId, sequence: number): string {
  return logPrefix(shard) + digits(sequence);
}

/** Undefined for what is no segment. */
export function sequenceOfKey(shard: ShardId, key: string): number | undefined {
  const rest = key.slice(logPrefix(shard).length);
  return key.startsWith(logPrefix(shard)) && /^\d{20}$/.test(rest) ? Number(rest) : undefined;
}

export function imagesPrefix(shard: ShardId): string {
  return `${shardPrefix(shard)}image/`;
}

/** @param attempt 8 hex characters: two tries at one position never write to one key. */
export function imagePrefix(shard: ShardId, sequence: number, attempt: string): string {
  return `${imagesPrefix(shard)}${digits(sequence)}-${attempt}/`;
}

/** The position of an image, by its prefix. */
export function sequenceOfImage(shard: ShardId, prefix: string): number {
  return Number(prefix.slice(imagesPrefix(shard).length).slice(0, 20));
}

function shardPrefix(shard: ShardId): string {
  return `meta/${String(shard).padStart(4, '0')}/`;
}

function digits(sequence: number): string {
  return String(sequence).padStart(20, '0');
}
