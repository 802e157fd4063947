/**
 * URLs for blocks, asked for as they are needed: what is wanted while a call is under way goes with the next one, up to the
 * most that one call may ask for. URLs that read are kept until shortly before they expire; one that puts serves one put.
 */
import { PRESIGN_BLOCKS_MAX, type Clock, type PresignPutsArgs, type PresignResult, type SignedRequest, type UploadId } from '@nokv/types';
import { NokvError } from '@nokv/types';
import { orAborted } from './cancellation.js';

/** The calls of the server that sign. */
export interface UrlSigner {
  puts(args: PresignPutsArgs): Promise<PresignResult>;
  gets(blocks: readonly BlockName[]): Promise<PresignResult>;
}

export interface BlockName {
  readonly upload: UploadId;
  readonly index: number;
}

export interface WantedPut extends BlockName {
  readonly ticket: string;
  readonly length: number;
  readonly crc32c: number;
}

/** A few hundred bytes each. */
const KEPT_MAX = 4096;
/** A URL that is used has to last for the request. */
const SPARE_MS = 30_000;

export class SignedUrls {
  readonly #puts: Gathered<WantedPut>;
  readonly #gets: Gathered<BlockName>;
  readonly #clock: Clock;
  /** In the order of their last use. */
  readonly #kept = new Map<string, SignedRequest>();

  constructor(signer: UrlSigner, clock: Clock) {
    this.#clock = clock;
    this.#puts = new Gathered(
      ({ upload, ticket }) => `${upload} ${ticket}`,
      (wanted) => {
        const [{ upload, ticket }] = wanted as [WantedPut];
        return signer.puts({ upload, ticket, blocks: wanted.map(({ index, length, crc32c }) => ({ index, length, crc32c })) });
      },
    );
    this.#gets = new Gathered(
      () => '',
      (wanted) => signer.gets(wanted.map(({ upload, index }) => ({ upload, index }))),
    );
  }

  toPut(wanted: WantedPut, signal: AbortSignal): Promise<SignedRequest> {
    return orAborted(this.#puts.ask(wanted), signal);
  }

  async toGet(block: BlockName, signal: AbortSignal): Promise<SignedRequest> {
    const name = nameOf(block);
    const kept = this.#kept.get(name);
    this.#kept.delete(name);
    const isGood = kept !== undefined && kept.expiresAtMs - this.#clock.nowMs() > SPARE_MS;
    const signed = isGood ? kept : await orAborted(this.#gets.ask(block), signal);
    this.#kept.set(name, signed);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) break;
      this.#kept.delete(oldest);
    }
    return signed;
  }

  /** The store refused it. */
  forget(block: BlockName): void {
    this.#kept.delete(nameOf(block));
  }
}

function nameOf({ upload, index }: BlockName): string {
  return `${upload}/${index}`;
}

interface Waiting<Wanted> {
  readonly wanted: Wanted;
  readonly resolve: (request: SignedRequest) => void;
  readonly reject: (error: unknown) => void;
}

/** One call at a time for each group; who comes meanwhile goes with the next. */
class Gathered<Wanted> {
  readonly #groupOf: (wanted: Wanted) => string;
  readonly #call: (wanted: readonly Wanted[]) => Promise<PresignResult>;
  /** Groups with a call under way or about to be. Bounded by the puts and gets in flight. */
  readonly #waiting = new Map<string, Waiting<Wanted>[]>();

  constructor(groupOf: (wanted: Wanted) => string, call: (wanted: readonly Wanted[]) => Promise<PresignResult>) {
    this.#groupOf = groupOf;
    this.#call = call;
  }

  ask(wanted: Wanted): Promise<SignedRequest> {
    return new Promise((resolve, reject) => {
      const group = this.#groupOf(wanted);
      const waiting = this.#waiting.get(group);
      if (waiting !== undefined) {
        waiting.push({ wanted, resolve, reject });
        return;
      }
      this.#waiting.set(group, [{ wanted, resolve, reject }]);
      void this.#serve(group);
    });
  }

  /** Ends when nobody of the group waits any more; every round answers somebody. */
  async #serve(group: string): Promise<void> {
    // Those who ask in the same turn go together.
    await Promise.resolve();
    for (;;) {
      const batch = this.#waiting.get(group)?.splice(0, PRESIGN_BLOCKS_MAX) ?? [];
      if (batch.length === 0) {
        this.#waiting.delete(group);
        return;
      }
      try {
        const { requests } = await this.#call(batch.map(({ wanted }) => wanted));
        batch.forEach(({ resolve, reject }, at) => {
          const request = requests[at];
          if (request === undefined) reject(new NokvError('internal', `expected ${batch.length} signed URLs, found ${requests.length}`));
          else resolve(request);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
