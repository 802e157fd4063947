/**
 * Proves on the real endpoint what the rest of the system relies on. It writes some small objects under `probe/<random>/` and
 * removes them; a store that fails is named `store-unfit` with what it did wrong.
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

export interface ProbeOptions {
  readonly random?: Random | undefined;
  readonly signal?: AbortSignal | undefined;
}

const RACERS = 20;
/** A server that looks before it writes lets several win in most races, not in all; and big bodies take longer to come. */
const RACE_BYTES = [16, 16, 65_536, 16, 65_536];
const LISTED = 5;

/** @throws `store-unfit` naming each capability that is missing; or what the store failed with. */
export async function admissionProbe(store: ObjectStore, options: ProbeOptions = {}): Promise<AdmissionResult> {
  const probes = new StoreProbes(store, options);
  const findings = new Map<StoreCapability, string>();
  try {
    for (const capability of STORE_CAPABILITIES) {
      const problem = await probes.run(capability);
      if (problem !== undefined) findings.set(capability, problem);
    }
  } catch (error) {
    await probes.cleanUp();
    throw error;
  }
  if (findings.size > 0) throw unfit(store, findings);
  return { 'create-if-absent': true, 'one-winner': true, 'range-read': true, 'list-after-write': true, 'bulk-delete': true };
}

/** The single probes; `bulk-delete` removes what the others wrote and comes last. */
export class StoreProbes {
  readonly #store: ObjectStore;
  readonly #signal: AbortSignal | undefined;
  readonly #base: string;
  readonly #written = new Set<string>();

  constructor(store: ObjectStore, { random = systemRandom, signal }: ProbeOptions = {}) {
    this.#store = store;
    this.#signal = signal;
    this.#base = `probe/${Buffer.from(random.bytes(8)).toString('hex')}`;
  }

  /** What is wrong; undefined: nothing. Rejects with what the store failed with. */
  run(capability: StoreCapability): Promise<string | undefined> {
    switch (capability) {
      case 'create-if-absent':
        return this.#create();
      case 'one-winner':
        return this.#race();
      case 'range-read':
        return this.#ranges();
      case 'list-after-write':
        return this.#list();
      case 'bulk-delete':
        return this.#delete();
    }
  }

  /** Writes an object that {@link cleanUp} removes. */
  put(name: string, bytes: Uint8Array, crc32c?: number): Promise<'created' | 'exists'> {
    this.#written.add(this.keyOf(name));
    return this.#store.putIfAbsent(this.keyOf(name), bytes, { signal: this.#signal, crc32c });
  }

  keyOf(name: string): string {
    return `${this.#base}/${name}`;
  }

  async cleanUp(): Promise<void> {
    await this.#store.delete([...this.#written]).catch(() => undefined);
  }

  async #create(): Promise<string | undefined> {
    const first = await this.put('create', Buffer.from('first'));
    const second = await this.put('create', Buffer.from('other'));
    const kept = Buffer.from(await this.#get('create')).toString();
    if (first === 'created' && second === 'exists' && kept === 'first') return undefined;
    return `a second put of a key was answered "${second}" and the object holds the ${kept === 'first' ? 'first' : 'second'} bytes`;
  }

  async #race(): Promise<string | undefined> {
    for (const [round, length] of RACE_BYTES.entries()) {
      const bodies = Array.from({ length: RACERS }, (_, racer) => Buffer.alloc(length, racer + 1));
      const outcomes = await Promise.all(bodies.map((body) => this.put(`race-${round}`, body)));
      const winners = bodies.filter((_, racer) => outcomes[racer] === 'created');
      if (winners.length !== 1) return `of ${RACERS} puts of one key at once ${winners.length} were told that they made it`;
      if (winners[0]?.equals(await this.#get(`race-${round}`)) !== true)
        return 'the object holds other bytes than those of the put that won';
    }
    return undefined;
  }

  async #ranges(): Promise<string | undefined> {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));
    await this.put('range', bytes);
    for (const [offset, length] of [
      [0, 1],
      [1, 499],
      [500, 500],
      [999, 1],
    ] as const) {
      const found = await this.#get('range', { offset, length }).catch(translateCorrupt);
      if (found === undefined || !bytes.subarray(offset, offset + length).equals(found))
        return `a read of ${length} bytes from ${offset} gave other bytes`;
    }
    return undefined;
  }

  async #list(): Promise<string | undefined> {
    const names = Array.from({ length: LISTED }, (_, at) => `list-${at}`);
    await Promise.all(names.map((name) => this.put(name, Buffer.from(name))));
    const page = await this.#store.list(this.keyOf('list-'), { limit: 1000, signal: this.#signal });
    const found = page.objects.map(({ key }) => key);
    if (found.join() === names.map((name) => this.keyOf(name)).join()) return undefined;
    return `of ${LISTED} objects just written a listing showed ${found.length}`;
  }

  async #delete(): Promise<string | undefined> {
    await this.#store.delete([...this.#written, this.keyOf('never-written')], { signal: this.#signal });
    const { objects } = await this.#store.list(`${this.#base}/`, { limit: 1000, signal: this.#signal });
    if (objects.length === 0) return undefined;
    return `${objects.length} of ${this.#written.size} objects were still listed after their deletion`;
  }

  #get(name: string, range: { readonly offset?: number; readonly length?: number } = {}): Promise<Uint8Array> {
    return this.#store.get(this.keyOf(name), { ...range, signal: this.#signal });
  }
}

function translateCorrupt(error: unknown): undefined {
  if (!isNokvError(error, 'corrupt')) throw error;
}

function unfit(store: ObjectStore, findings: ReadonlyMap<StoreCapability, string>): NokvError {
  const details: ErrorDetails = Object.fromEntries(STORE_CAPABILITIES.map((name) => [name, findings.get(name) ?? 'yes']));
  const problems = [...findings].map(([name, what]) => `${name} (${what})`).join(', ');
  return new NokvError('store-unfit', `${store.description} does not give what nokv needs: ${problems}; use another S3 server`, {
    details,
  });
}
