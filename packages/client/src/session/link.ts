/**
 * The connection that a client has at the moment.
 *
 * Invariants: at most one dial is under way; `current` never is a connection that drains or has ended. Addresses are
 * tried in turn, beginning with the one that worked last; after a round that reached none of them the next round
 * waits, with jitter, up to {@link RETRY_DELAY_MS_MAX}. A link never retries a call: `retry.ts` does.
 */
import type { Clock, Random } from '@nokv/types';
import { NokvError, toNokvError } from '@nokv/types';
import type { Connection } from '../wire/connection.js';
import { isPassing, retryDelayMs, type CallBudget } from './retry.js';
import { withinBudget } from './within-budget.js';

export type Dial = (address: string, options: { readonly timeoutMs: number; readonly signal: AbortSignal }) => Promise<Connection>;

export interface LinkOptions {
  /** At least one. */
  readonly addresses: readonly string[];
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: Random;
}

const DIAL_TIMEOUT_MS = 5000;
/** How long calls in flight on a connection that drains may take to finish. */
const DRAIN_GRACE_MS = 30_000;

export class Link {
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  /** Index of the address to try first. */
  #preferred = 0;
  /** Rounds in a row that reached no server. */
  #failures = 0;
  #dials = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** How often a connection was made. */
  get dials(): number {
    return this.#dials;
  }

  /** The live connection, dialling if there is none; waits no longer than the budget. */
  connection(budget: CallBudget): Connection | Promise<Connection> {
    const live = this.#connection;
    if (live !== undefined && !live.isDraining) return live;
    if (this.#closing.signal.aborted) throw closedError();
    this.#dialing ??= this.#redial();
    return withinBudget(this.#dialing, budget, this.#options.clock, () => `no connection to ${this.#where()}`);
  }

  /** Gives up a connection whose server may not serve us, so that the next call tries another address. */
  avoid(connection: Connection): void {
    if (this.#connection !== connection || this.#options.addresses.length === 1) return;
    this.#preferred = (this.#preferred + 1) % this.#options.addresses.length;
    this.#retire(connection);
  }

  async close(): Promise<void> {
    this.#closing.abort(closedError());
    const live = this.#connection;
    this.#connection = undefined;
    await this.#dialing?.catch(() => undefined);
    await live?.close();
  }

  async #redial(): Promise<Connection> {
    const { clock, random } = this.#options;
    try {
      if (this.#failures > 0) await clock.sleep(retryDelayMs(this.#failures, random), this.#closing.signal);
      const connection = await this.#tryAddresses();
      if (this.#closing.signal.aborted) {
        await connection.close();
        throw closedError();
      }
      this.#failures = 0;
      this.#dials += 1;
      this.#adopt(connection);
      return connection;
    } catch (error) {
      this.#failures += 1;
      throw this.#closing.signal.aborted ? closedError() : error;
    } finally {
      this.#dialing = undefined;
    }
  }

  async #tryAddresses(): Promise<Connection> {
    const { addresses, dial } = this.#options;
    const failures: NokvError[] = [];
    for (let turn = 0; turn < addresses.length; turn++) {
      const index = (this.#preferred + turn) % addresses.length;
      const address = addresses[index] as string;
      try {
        const connection = await dial(address, { timeoutMs: DIAL_TIMEOUT_MS, signal: this.#closing.signal });
        this.#preferred = index;
        return connection;
      } catch (thrown) {
        const error = toNokvError(thrown);
        if (this.#closing.signal.aborted) throw error;
        failures.push(error);
      }
    }
    // A refusal for good (a bad token, a version that is not spoken) tells more than a server that is away.
    const last = failures.find((error) => !isPassing(error)) ?? (failures.at(-1) as NokvError);
    if (failures.length === 1) throw last;
    const reasons = failures.map((error) => error.message).join('; ');
    throw new NokvError(last.code, `none of ${addresses.length} servers could be reached: ${reasons}`, { cause: last });
  }

  #adopt(connection: Connection): void {
    this.#connection = connection;
    void connection.draining.then(() => this.#retire(connection));
    void connection.closed.then(() => this.#retire(connection));
  }

  #retire(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    void connection.close(DRAIN_GRACE_MS).catch(() => undefined);
  }

  #where(): string {
    return this.#options.addresses.join(', ');
  }
}

function closedError(): NokvError {
  return new NokvError('cancelled', 'this client is closed; connect again');
}
