/**
 * Proves on the real endpoint what the rest of the system relies on. It writes a handful of small objects under
 * `probe/<random>/` and removes them; a store that fails is named `store-unfit` with what it did wrong.
 */
import { NokvError, isNokvError, systemRandom, type ErrorDetails, type Random } from '@nokv/types';
import type { ObjectStore } from './object-store.js';

export type StoreCapability = 'create-if-absent' | 'one-winner' | 'range-read' | 'list-after-write' | 'bulk-delete';

export const STORE_CAPABILITIES: readonly StoreCapability[] = [
  'create-if-absent',
  'one-winner',
  'range-read',
  'list-after-write',
  'bulk-delete',
];

export type AdmissionResult = Readonly<Record<StoreCapability, boolean>>;

const RACERS = 20;
const LISTED = 5;

/** @throws `store-unfit` naming each capability that is missing; or what the store failed with. */
export async function admissionProbe(
  store: ObjectStore,
  options: { readonly random?: Random | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<AdmissionResult> {
  const { random = systemRandom, signal } = options;
  const base = `probe/${Buffer.from(random.bytes(8)).toString('hex')}`;
  const written = new Set<string>();
  const findings = new Map<StoreCapability, string>();
  const put = (name: string, bytes: Uint8Array) => {
    written.add(`${base}/${name}`);
    return store.putIfAbsent(`${base}/${name}`, bytes, { signal });
  };
  try {
    await probeCreate(store, base, put, findings);
    await probeRace(store, base, put, findings);
    await probeRanges(store, base, put, findings);
    await probeList(store, base, put, findings);
  } catch (error) {
    await store.delete([...written]).catch(() => undefined);
    throw error;
  }
  await probeDelete(store, base, [...written], findings);
  const [first] = findings.values();
  if (first !== undefined) throw unfit(store, findings);
  return { 'create-if-absent': true, 'one-winner': true, 'range-read': true, 'list-after-write': true, 'bulk-delete': true };
}

type Put = (name: string, bytes: Uint8Array) => Promise<'created' | 'exists'>;
type Findings = Map<StoreCapability, string>;

async function probeCreate(store: ObjectStore, base: string, put: Put, findings: Findings): Promise<void> {
  const first = await put('create', Buffer.from('first'));
  const second = await put('create', Buffer.from('other'));
  const kept = Buffer.from(await store.get(`${base}/create`)).toString();
  if (first !== 'created' || second !== 'exists' || kept !== 'first') {
    findings.set(
      'create-if-absent',
      `a second put of a key was answered "${second}" and the object holds the ${kept === 'first' ? 'first' : 'second'} bytes`,
    );
  }
}

async function probeRace(store: ObjectStore, base: string, put: Put, findings: Findings): Promise<void> {
  const names = Array.from({ length: RACERS }, (_, racer) => `racer ${String(racer).padStart(2, '0')}`);
  const outcomes = await Promise.all(names.map((name) => put('race', Buffer.from(name))));
  const winners = names.filter((_, racer) => outcomes[racer] === 'created');
  const kept = Buffer.from(await store.get(`${base}/race`)).toString();
  if (winners.length !== 1 || winners[0] !== kept)
    findings.set('one-winner', `of ${RACERS} puts of one key at once ${winners.length} were told that they made it`);
}

async function probeRanges(store: ObjectStore, base: string, put: Put, findings: Findings): Promise<void> {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));
  await put('range', bytes);
  for (const [offset, length] of [
    [0, 1],
    [1, 499],
    [500, 500],
    [999, 1],
  ] as const) {
    const found = await store.get(`${base}/range`, { offset, length }).catch(translateCorrupt);
    if (found === undefined || !bytes.subarray(offset, offset + length).equals(found))
      findings.set('range-read', `a read of ${length} bytes from ${offset} gave other bytes`);
  }
}

async function probeList(store: ObjectStore, base: string, put: Put, findings: Findings): Promise<void> {
  const names = Array.from({ length: LISTED }, (_, at) => `list-${at}`);
  await Promise.all(names.map((name) => put(name, Buffer.from(name))));
  const page = await store.list(`${base}/list-`, { limit: 1000 });
  const found = page.objects.map(({ key }) => key);
  if (found.join() !== names.map((name) => `${base}/${name}`).join())
    findings.set('list-after-write', `of ${LISTED} objects just written a listing showed ${found.length}`);
}

async function probeDelete(store: ObjectStore, base: string, keys: readonly string[], findings: Findings): Promise<void> {
  await store.delete([...keys, `${base}/never-written`]);
  const { objects } = await store.list(`${base}/`, { limit: 1000 });
  if (objects.length > 0) findings.set('bulk-delete', `${objects.length} of ${keys.length} objects were still listed after their deletion`);
}

function translateCorrupt(error: unknown): undefined {
  if (!isNokvError(error, 'corrupt')) throw error;
}

function unfit(store: ObjectStore, findings: Findings): NokvError {
  const details: ErrorDetails = Object.fromEntries(STORE_CAPABILITIES.map((name) => [name, findings.get(name) ?? 'yes']));
  const problems = [...findings].map(([name, what]) => `${name} (${what})`).join(', ');
  return new NokvError('store-unfit', `${store.description} does not give what nokv needs: ${problems}; use another S3 server`, {
    details,
  });
}
