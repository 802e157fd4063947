/**
 * The store of the shared log under a scheduler. Requests take effect and are answered when it says so; a put may be refused, may be
 * lost with or without its effect, and may take effect long after nobody waits for it any more.
 */
import type { LogCallOptions, LogListOptions, LogPage, LogStore } from '@nokv/meta';
import { NokvError } from '@nokv/types';
import { deferred, type Deferred } from './deferred.js';
import type { Choice } from './scheduler.js';
import type { SeededRandom } from './seeded-random.js';

interface Request {
  readonly name: string;
  readonly isPut: boolean;
  readonly perform: () => unknown;
  readonly answer: Deferred<unknown>;
  readonly isLate: boolean;
}

export class SimLogStore implements LogStore {
  readonly description = 'simulated:';
  /** Whether requests fail or get lost. */
  isFaulty = true;
  readonly objects = new Map<string, Uint8Array>();
  /** Told of each object at the moment at which it comes to be. */
  onCreated: (key: string, bytes: Uint8Array) => void = () => undefined;
  readonly #requests: Request[] = [];
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  putIfAbsent(key: string, bytes: Uint8Array, _options: LogCallOptions = {}): Promise<'created' | 'exists'> {
    const copy = Uint8Array.from(bytes);
    return this.#ask(`put ${short(key)}`, true, () => {
      if (this.objects.has(key)) return 'exists';
      this.objects.set(key, copy);
      this.onCreated(key, copy);
      return 'created';
    }) as Promise<'created' | 'exists'>;
  }

  get(key: string, _options: LogCallOptions = {}): Promise<Uint8Array | undefined> {
    return this.#ask(`get ${short(key)}`, false, () => {
      const bytes = this.objects.get(key);
      return bytes === undefined ? undefined : Uint8Array.from(bytes);
    }) as Promise<Uint8Array | undefined>;
  }

  list(prefix: string, { after = '', limit }: LogListOptions): Promise<LogPage> {
    return this.#ask(`list ${short(prefix)}`, false, () => {
      const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      return { keys: keys.slice(0, limit), more: keys.length > limit };
    }) as Promise<LogPage>;
  }

  delete(keys: readonly string[], _options: LogCallOptions = {}): Promise<void> {
    return this.#ask(`delete ${keys.length} from ${short(keys[0] ?? '')}`, false, () => {
      for (const key of keys) this.objects.delete(key);
    }) as Promise<void>;
  }

  get isIdle(): boolean {
    return this.#requests.length === 0;
  }

  choices(): readonly Choice[] {
    const choices: Choice[] = [];
    for (const request of this.#requests) {
      const { name, isPut, isLate } = request;
      choices.push({ name: `log: ${name}`, weight: isLate ? 1 : 12, run: () => this.#answer(request) });
      if (!this.isFaulty || isLate) continue;
      choices.push({ name: `log: ${name} is refused`, weight: 0.15, run: () => this.#refuse(request) });
      if (isPut) choices.push({ name: `log: ${name}, nobody can tell`, weight: 0.4, run: () => this.#lose(request) });
    }
    return choices;
  }

  #ask(name: string, isPut: boolean, perform: () => unknown): Promise<unknown> {
    const answer = deferred<unknown>();
    this.#requests.push({ name, isPut, perform, answer, isLate: false });
    return answer.promise;
  }

  #answer(request: Request): void {
    this.#take(request);
    request.answer.resolve(request.perform());
  }

  #refuse(request: Request): void {
    this.#take(request);
    request.answer.reject(new NokvError('store-unavailable', 'the simulated log store refuses', { outcome: 'not-applied' }));
  }

  /** It happens, or not, or later. */
  #lose(request: Request): void {
    this.#take(request);
    const draw = this.#random.float();
    if (draw < 0.4) request.perform();
    else if (draw < 0.7) this.#requests.push({ ...request, name: `late ${request.name}`, answer: deferred(), isLate: true });
    request.answer.reject(new NokvError('store-unavailable', 'the answer of the simulated log store is lost', { outcome: 'unknown' }));
  }

  #take(request: Request): void {
    this.#requests.splice(this.#requests.indexOf(request), 1);
  }
}

/** Without what every key begins with, and without the zeros of sequences. */
function short(key: string): string {
  return key.replace(/^meta\/\d+\//, '').replace(/0{4,}/g, '');
}
