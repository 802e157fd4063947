/**
 * One append to the shared log: put-if-absent of one key, tried until it is certain what became of it or time is up.
 *
 * Truncation makes keys free again: whoever comes very late could put a segment where another owner's was. So a put that took, or comes
 * after, longer than a truncated segment has lived at least ({@link AppendOptions.trustMs}) counts only when no image of this moment or
 * a later one is there: the log has gone on past an image, and truncation removes nothing that is not behind one.
 *
 * Repeating is safe because what is put under the key is always the same bytes: whoever finds them there has succeeded, whoever
 * finds others has been fenced. A store that refused before anything could have been written leaves the key free. An append of
 * which nobody can tell may still take effect later: its writer must not go on.
 */
import { NokvError, toNokvError, type Clock, type ShardId } from '@nokv/types';
import { imagePrefix, imagesPrefix, segmentKey } from './log-key.js';
import type { LogStore } from './log-store.js';

export type AppendOutcome =
  | { readonly kind: 'appended' }
  /** Somebody else wrote this key. */
  | { readonly kind: 'collided'; readonly found: Uint8Array }
  /** Nothing was written, nor will be. */
  | { readonly kind: 'refused'; readonly error: NokvError }
  /** It may be there, or come to be. */
  | { readonly kind: 'unclear'; readonly error: NokvError };

export interface AppendOptions {
  readonly clock: Clock;
  /** For all tries together. */
  readonly timeoutMs: number;
  /** Well below the retention of images. */
  readonly trustMs: number;
}

/** Short beside the retention of images (10 minutes), long beside an append. */
export const APPEND_TRUST_MS_DEFAULT = 60_000;

/** A moment at which the head of the log was known to be ours, by both clocks: a machine may sleep, or be set. */
export interface LogMoment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function momentOf(clock: Clock): LogMoment {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
}

/**
 * Appends the segment of this sequence.
 *
 * @param known when the segment before it was known to be the head, at the latest; undefined: look in any case.
 */
export async function appendSegment(
  store: LogStore,
  shard: ShardId,
  sequence: number,
  bytes: Uint8Array,
  options: AppendOptions,
  known: LogMoment | undefined,
): Promise<AppendOutcome> {
  const outcome = await appendObject(store, segmentKey(shard, sequence), bytes, options);
  if (outcome.kind !== 'appended' || (known !== undefined && isRecent(known, options))) return outcome;
  try {
    // Sorted, so that images of this sequence and later ones come after it.
    const { keys } = await store.list(imagesPrefix(shard), { after: imagePrefix(shard, sequence, '').slice(0, -2), limit: 1 });
    return keys[0] === undefined ? outcome : { kind: 'collided', found: bytes };
  } catch (error) {
    return { kind: 'unclear', error: toNokvError(error) };
  }
}

function isRecent({ monotonicMs, wallMs }: LogMoment, { clock, trustMs }: AppendOptions): boolean {
  const now = momentOf(clock);
  return now.monotonicMs - monotonicMs < trustMs && Math.abs(now.wallMs - wallMs) < trustMs;
}

export const APPEND_TIMEOUT_MS_DEFAULT = 10_000;
const RETRY_MS_FIRST = 50;
const RETRY_MS_MAX = 1000;

export async function appendObject(store: LogStore, key: string, bytes: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
  const { clock, timeoutMs } = options;
  const giveUpAtMs = clock.monotonicMs() + timeoutMs;
  let isUnclear = false;
  let delayMs = RETRY_MS_FIRST;
  // Ends by the deadline: a try never lasts beyond it, and each is followed by a wait.
  for (;;) {
    const found = await tryOnce(store, key, bytes, clock, giveUpAtMs - clock.monotonicMs());
    if (found === 'ours') return { kind: 'appended' };
    if (found instanceof Uint8Array) return { kind: 'collided', found };
    if (found.outcome === 'unknown') isUnclear = true;
    if (!isUnclear) return { kind: 'refused', error: found };
    if (clock.monotonicMs() + delayMs >= giveUpAtMs) return { kind: 'unclear', error: found };
    await clock.sleep(delayMs);
    delayMs = Math.min(RETRY_MS_MAX, delayMs * 2);
  }
}

async function tryOnce(
  store: LogStore,
  key: string,
  bytes: Uint8Array,
  clock: Clock,
  remainingMs: number,
): Promise<'ours' | Uint8Array | NokvError> {
  try {
    return await within(clock, remainingMs, key, async (signal) => {
      if ((await store.putIfAbsent(key, bytes, { signal })) === 'created') return 'ours';
      const found = await read(store, key, signal);
      return Buffer.compare(found, bytes) === 0 ? 'ours' : found;
    });
  } catch (error) {
    return toNokvError(error);
  }
}

/** What stands in our way is read before anything is decided; a failure here leaves the append in the dark. */
async function read(store: LogStore, key: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    const found = await store.get(key, { signal });
    if (found !== undefined) return found;
  } catch (error) {
    const { code, message, details } = toNokvError(error);
    throw new NokvError(code, message, { outcome: 'unknown', details, cause: error });
  }
  throw new NokvError('store-unfit', `${store.description}: ${key} is said to exist and cannot be read`, { outcome: 'unknown' });
}

/** A store that does not even notice the signal must not hold us. */
async function within<T>(clock: Clock, ms: number, key: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const over = new AbortController();
  const late = clock.sleep(Math.max(0, ms), over.signal).then(
    () => {
      const error = new NokvError('deadline-exceeded', `no answer about ${key} within the time for an append`, { outcome: 'unknown' });
      stop.abort(error);
      throw error;
    },
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([work(stop.signal), late]);
  } finally {
    over.abort();
  }
}
