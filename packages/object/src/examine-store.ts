/**
 * Looks at a store for a person: each capability with what follows from it. What the admission asks for is needed; the rest is
 * good to know. Writes small objects under `probe/<random>/` and removes them.
 */
import { NokvError, systemClock, toNokvError, type Clock } from '@nokv/types';
import { STORE_CAPABILITIES, StoreProbes, type ProbeOptions, type StoreCapability } from './admission-probe.js';
import { crc32c } from './block-checksum.js';
import type { ObjectStore, StoredAs } from './object-store.js';

export interface CapabilityFinding {
  readonly capability: StoreCapability | 'checksums' | 'encryption' | 'clock' | 'latency';
  /** `missing`: needed and not there. `lacking`: nokv does without, see the consequence. */
  readonly result: 'there' | 'missing' | 'lacking';
  readonly found: string;
  /** What follows for whoever uses the store. */
  readonly consequence: string;
  /** Why it could not be found out; the capability counts as missing. */
  readonly error?: NokvError | undefined;
}

const NEEDED: Readonly<Record<StoreCapability, readonly [there: string, consequence: string, otherwise: string]>> = {
  'create-if-absent': [
    'a second put of a key is told so and changes nothing',
    'no object is ever overwritten, whoever repeats what',
    'a late repeat could overwrite a body or the shared log: no server starts on it',
  ],
  'one-winner': [
    'of 20 puts of one key at once one wins, five times over',
    'two nodes can not both append to the shared log',
    'two nodes could both append to the shared log and lose writes: no server starts on it',
  ],
  'range-read': [
    'ranges give just their bytes',
    'a part of a body costs a part of its bytes',
    'parts of bodies can not be read: no server starts on it',
  ],
  'list-after-write': [
    'a listing shows what was just written',
    'sweeps and recoveries see every object',
    'a recovery could miss the end of the log: no server starts on it',
  ],
  'bulk-delete': [
    'one request removes many objects',
    'space comes back by up to 1,000 objects a request',
    'space never comes back: no server starts on it',
  ],
};

const SAMPLES = 9;
const SAMPLE_BYTES = 4096;
/** Amazon refuses requests that are further off than 15 minutes. */
const SKEW_MS_MAX = 60_000;

export async function* examineStore(
  store: ObjectStore,
  options: ProbeOptions & { readonly clock?: Clock | undefined } = {},
): AsyncGenerator<CapabilityFinding> {
  const { clock = systemClock, signal } = options;
  const probes = new StoreProbes(store, options);
  try {
    for (const capability of STORE_CAPABILITIES) {
      if (capability === 'bulk-delete') yield* examineOther(store, probes, clock, signal);
      const [there, consequence, otherwise] = NEEDED[capability];
      const problem = await outcomeOf(() => probes.run(capability), signal);
      if (problem === undefined) yield { capability, result: 'there', found: there, consequence };
      else if (typeof problem === 'string') yield { capability, result: 'missing', found: problem, consequence: otherwise };
      else yield { capability, result: 'missing', found: problem.message, consequence: 'not known', error: problem };
    }
  } finally {
    await probes.cleanUp();
  }
}

async function* examineOther(
  store: ObjectStore,
  probes: StoreProbes,
  clock: Clock,
  signal: AbortSignal | undefined,
): AsyncGenerator<CapabilityFinding> {
  const bytes = Buffer.alloc(SAMPLE_BYTES, 7);
  const times = await outcomeOf(() => measure(store, probes, bytes, clock, signal), signal);
  if (times instanceof NokvError) return; // The needed capabilities have told why.
  yield {
    capability: 'latency',
    result: 'there',
    found: `put ${round(times.put)} ms, get ${round(times.get)} ms (4 KiB, median of ${SAMPLES})`,
    consequence: 'with --durability shared a write is acknowledged no sooner than after a put',
  };
  const checked = await checksums(probes, bytes, signal);
  if (checked !== undefined) yield checked;
  if (store.inspect === undefined) return;
  const stored = await outcomeOf(() => store.inspect?.(probes.keyOf('sample-0'), { signal }) ?? Promise.resolve(undefined), signal);
  if (stored === undefined || stored instanceof NokvError) return;
  yield encryption(stored);
  if (stored.skewMs !== undefined) yield skew(stored.skewMs);
}

async function checksums(probes: StoreProbes, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<CapabilityFinding | undefined> {
  const wrong = (crc32c(bytes) ^ 1) >>> 0;
  const outcome = await outcomeOf(() => probes.put('damaged', bytes, wrong), signal);
  const isChecked = outcome instanceof NokvError;
  // A refusal of the bytes has a status below 500; anything else says nothing about checksums.
  if (isChecked && !(typeof outcome.details['status'] === 'number' && outcome.details['status'] < 500)) return undefined;
  return {
    capability: 'checksums',
    result: isChecked ? 'there' : 'lacking',
    found: isChecked ? 'bytes that do not match their crc32c are refused' : 'bytes that do not match their crc32c are kept',
    consequence: isChecked
      ? 'what is damaged on its way is sent again'
      : 'what is damaged on its way is found when it is read, not when it is written',
  };
}

function encryption({ encryption: found, isEncryptionAsked }: StoredAs): CapabilityFinding {
  if (found !== undefined)
    return {
      capability: 'encryption',
      result: 'there',
      found: `objects are encrypted with ${found}`,
      consequence: 'disks of the store hold no plain bodies',
    };
  return {
    capability: 'encryption',
    result: 'lacking',
    found: isEncryptionAsked
      ? 'encryption was asked for (sse=…) and the store does not say that it does it'
      : 'the store does not say that it encrypts',
    consequence: 'bodies may lie in plain on its disks; ask for encryption with sse=AES256 or sse=aws:kms where the store knows them',
  };
}

function skew(skewMs: number): CapabilityFinding {
  const isOff = Math.abs(skewMs) > SKEW_MS_MAX;
  return {
    capability: 'clock',
    result: isOff ? 'lacking' : 'there',
    found: `the store's clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs < 0 ? 'behind' : 'ahead of'} ours`,
    consequence: isOff
      ? 'requests are signed by the store’s clock once it has refused one; set this machine’s clock'
      : 'signatures are accepted as they are',
  };
}

async function measure(
  store: ObjectStore,
  probes: StoreProbes,
  bytes: Uint8Array,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<{ readonly put: number; readonly get: number }> {
  const puts: number[] = [];
  const gets: number[] = [];
  for (let at = 0; at < SAMPLES; at += 1) {
    const start = clock.monotonicMs();
    await probes.put(`sample-${at}`, bytes);
    const between = clock.monotonicMs();
    await store.get(probes.keyOf(`sample-${at}`), { offset: 0, length: SAMPLE_BYTES, signal });
    puts.push(between - start);
    gets.push(clock.monotonicMs() - between);
  }
  return { put: median(puts), get: median(gets) };
}

/** What came of it, or why nothing did; a call that was given up is no finding. */
async function outcomeOf<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | NokvError> {
  try {
    return await work();
  } catch (error) {
    if (signal?.aborted === true) throw error;
    return toNokvError(error);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
