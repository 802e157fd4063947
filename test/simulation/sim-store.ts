/**
 * The block store under a scheduler. A request takes effect and is answered when the scheduler says so; it may fail before or after
 * its effect, and it may take effect a second time long after its answer, as a retry inside a network does. Requests of a process that died may
 * still take effect.
 */
import { NokvError, type UploadId } from '@nokv/types';
import { deferred, type Deferred } from './deferred.js';
import type { Choice } from './scheduler.js';
import type { SeededRandom } from './seeded-random.js';

interface Request {
  readonly name: string;
  readonly perform: () => unknown;
  readonly answer: Deferred<unknown>;
  /** A repetition has an effect, and nobody who waits for it. */
  readonly isRepetition: boolean;
}

export class SimStore {
  /** Whether requests fail, get lost or are repeated. */
  isFaulty = true;
  readonly blocks = new Map<string, string>();
  /** Told before the blocks of an upload go. */
  onRemoval: (upload: UploadId) => void = () => undefined;
  readonly #requests: Request[] = [];
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  put(upload: UploadId, index: number, text: string): Promise<void> {
    return this.#ask(`put ${upload.slice(-4)}/${index}`, () => void this.blocks.set(blockId(upload, index), text)) as Promise<void>;
  }

  get(upload: UploadId, index: number): Promise<string | undefined> {
    return this.#ask(`get ${upload.slice(-4)}/${index}`, () => this.blocks.get(blockId(upload, index))) as Promise<string | undefined>;
  }

  removeUpload(upload: UploadId): Promise<void> {
    return this.#ask(`remove ${upload.slice(-4)}`, () => {
      this.onRemoval(upload);
      for (const id of this.blocks.keys()) if (id.startsWith(`${upload}/`)) this.blocks.delete(id);
    }) as Promise<void>;
  }

  /** The uploads that it has blocks of. */
  listUploads(): Promise<readonly UploadId[]> {
    return this.#ask('list', () => [...new Set([...this.blocks.keys()].map((id) => id.slice(0, id.indexOf('/')) as UploadId))]) as Promise<
      readonly UploadId[]
    >;
  }

  get isIdle(): boolean {
    return this.#requests.length === 0;
  }

  choices(): readonly Choice[] {
    const choices: Choice[] = [];
    for (const request of this.#requests) {
      const { name } = request;
      choices.push({ name: `blocks: ${name}`, weight: 5, run: () => this.#answer(request) });
      if (!this.isFaulty) continue;
      choices.push({ name: `blocks: ${name} fails`, weight: 0.4, run: () => this.#drop(request) });
      if (request.isRepetition) continue;
      choices.push({ name: `blocks: ${name}, answer lost`, weight: 0.4, run: () => this.#loseAnswer(request) });
      choices.push({ name: `blocks: ${name}, repeated`, weight: 0.4, run: () => this.#repeat(request) });
    }
    return choices;
  }

  #ask(name: string, perform: () => unknown): Promise<unknown> {
    const answer = deferred<unknown>();
    this.#requests.push({ name, perform, answer, isRepetition: false });
    return answer.promise;
  }

  #answer(request: Request): void {
    this.#take(request);
    request.answer.resolve(request.perform());
  }

  #drop(request: Request): void {
    this.#take(request);
    request.answer.reject(new NokvError('unavailable', 'the simulated store fails', { outcome: 'not-applied' }));
  }

  #loseAnswer(request: Request): void {
    this.#take(request);
    if (this.#random.chance(0.5)) request.perform();
    else this.#later(request);
    request.answer.reject(new NokvError('unavailable', 'the answer of the simulated store is lost', { outcome: 'unknown' }));
  }

  #repeat(request: Request): void {
    this.#answer(request);
    this.#later(request);
  }

  #later({ name, perform }: Request): void {
    this.#requests.push({ name: `late ${name}`, perform, answer: deferred(), isRepetition: true });
  }

  #take(request: Request): void {
    this.#requests.splice(this.#requests.indexOf(request), 1);
  }
}

export function blockId(upload: UploadId, index: number): string {
  return `${upload}/${index}`;
}
