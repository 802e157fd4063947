/**
 * Which superseded bodies of a file stay, and why: young ones and the newest ones by the policy of their directory, those that a pin
 * shows as long as it does. The rest is forgotten, and blocks that no body names any more follow.
 */
import { timespecToMs, type Generation, type InodeNumber, type RetentionPolicy, type Version } from '@nokv/types';
import type { Retention } from '../command.js';
import { GC_HELD_MS, gcBodyKey } from '../key.js';
import { forgetBody } from '../operations/directory.js';
import type { Transaction } from '../transaction.js';
import { encodeRetired, type Retired } from '../value-log.js';
import { PinCoverage } from './pin-coverage.js';
import { policyDefault, policyFor } from './retention.js';

/** A body of a file with what decides about it. */
export interface Superseded {
  readonly generation: Generation;
  readonly retired: Retired;
  /** Superseded bodies of the same file that are newer. */
  readonly newer: number;
}

/** The superseded bodies among `bodies` (newest first). @param last when the newest one went, if the file was removed. */
export function* superseded<Body extends { readonly birth: Version; readonly time: { readonly sec: number; readonly nsec: number } }>(
  bodies: Iterable<Body>,
  current: Generation | undefined,
  last: Retired | undefined,
): Generator<Superseded & { readonly body: Body }> {
  let next = last;
  let newer = 0;
  for (const body of bodies) {
    const generation = body.birth as number as Generation;
    if (generation !== current && next !== undefined) {
      yield { generation, retired: next, newer, body };
      newer += 1;
    }
    next = { version: body.birth, ms: Math.max(0, Math.floor(timespecToMs(body.time))) };
  }
}

/** Decides about the body that came due and all older ones of its file. */
export function sweepBodies(
  transaction: Transaction,
  ino: InodeNumber,
  due: Generation,
  retired: Retired,
  retention: Retention,
  coverageOf: () => PinCoverage = () => new PinCoverage(transaction),
): void {
  const inode = transaction.inode(ino);
  const policy = policyOf(transaction, ino, retired, retention);
  const nowMs = timespecToMs(transaction.time);
  let coverage: PinCoverage | undefined;
  const all = superseded(transaction.bodies(ino), inode?.generation, inode === undefined ? retired : undefined);
  for (const { generation, retired: since, newer } of all) {
    if (generation > due) continue;
    // The next one that is superseded brings this one up again.
    if (inode !== undefined && newer < policy.keepLast) continue;
    const dueMs = since.ms + policy.keepMs;
    if (dueMs > nowMs) {
      transaction.addWork(gcBodyKey(Math.ceil(dueMs), ino, generation), encodeRetired(since));
      continue;
    }
    coverage ??= coverageOf();
    if (coverage.covers(ino, generation as number as Version, since.version)) {
      transaction.addWork(gcBodyKey(GC_HELD_MS, ino, generation), encodeRetired(since));
    } else {
      forgetBody(transaction, ino, generation, retention);
    }
  }
}

/** Of a removed file what its directory said when it went: where it lay is history. */
function policyOf(transaction: Transaction, ino: InodeNumber, { keepMs }: Retired, retention: Retention): RetentionPolicy {
  const fallback = policyDefault(retention);
  const inode = transaction.inode(ino);
  if (inode === undefined) return keepMs === undefined ? fallback : { ...fallback, keepMs };
  return transaction.progress.policies === 0 ? fallback : policyFor(transaction, inode, fallback).policy;
}
