/**
 * Spares a store that is down, and its callers' patience: after failures in a row nothing is sent for a while, then one request asks
 * whether it is back (half-open), and its answer lets the others go on or wait again.
 *
 * Invariants: while the circuit is open nothing is under way that began after it opened; while it is half-open one such request is.
 * Whoever waits here waits no longer than its own signal. An answer of any kind closes the circuit: a store that refuses is there.
 */
import { NokvError, type CircuitState, type Clock, type Random } from '@nokv/types';
import { orAborted } from './cancellation.js';

export interface CircuitPolicy {
  /** Failures in a row after which it opens. */
  readonly failuresMax: number;
  /** How long it stays open the first time; doubles with every probe that fails, under jitter of half of it. */
  readonly coolDownMs: number;
  readonly coolDownMsMax: number;
}

export const CIRCUIT_POLICY_DEFAULT: CircuitPolicy = { failuresMax: 5, coolDownMs: 500, coolDownMsMax: 5000 };

/** What {@link Circuit.enter} lets in: to be given back to {@link Circuit.leave}. */
export interface Entered {
  readonly isProbe: boolean;
}

export class Circuit {
  readonly #policy: CircuitPolicy;
  readonly #clock: Clock;
  readonly #random: Random;
  #state: CircuitState = 'closed';
  #sinceMs: number;
  #failures = 0;
  #failure: NokvError | undefined;
  #coolDownMs: number;
  #probeAtMs = 0;
  #probe: Probe | undefined;
  #opened = 0;

  constructor(policy: CircuitPolicy, clock: Clock, random: Random) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
    this.#coolDownMs = policy.coolDownMs;
    this.#sinceMs = clock.monotonicMs();
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** How long it has been closed, or not closed. */
  get stateMs(): number {
    return this.#clock.monotonicMs() - this.#sinceMs;
  }

  /** Why it is not closed. */
  get failure(): NokvError | undefined {
    return this.#state === 'closed' ? undefined : this.#failure;
  }

  /** How often it opened; probes that failed do not count. */
  get opened(): number {
    return this.#opened;
  }

  /** Resolves when a request may be sent, or with the failure of the probe that was waited for. Rejects when the signal fires. */
  async enter(signal: AbortSignal): Promise<Entered | NokvError> {
    // Ends with the signal: each round waits for a time or for a probe.
    for (;;) {
      if (this.#state === 'closed') return { isProbe: false };
      if (this.#probe !== undefined) {
        await orAborted(this.#probe.promise, signal);
        if (this.#state === 'open' && this.#failure !== undefined) return spared(this.#failure);
        continue;
      }
      const waitMs = this.#probeAtMs - this.#clock.monotonicMs();
      if (waitMs <= 0) {
        this.#state = 'half-open';
        this.#probe = newProbe();
        return { isProbe: true };
      }
      await this.#clock.sleep(waitMs, signal);
    }
  }

  /** @param outcome `abandoned`: the caller gave up, which says nothing about the store. */
  leave(entered: Entered, outcome: 'answered' | 'abandoned' | NokvError): void {
    if (outcome === 'answered') this.#close();
    else if (outcome === 'abandoned') {
      if (entered.isProbe) this.#endProbe('open', 0);
    } else if (entered.isProbe) {
      this.#failure = outcome;
      this.#coolDownMs = Math.min(this.#policy.coolDownMsMax, this.#coolDownMs * 2);
      this.#endProbe('open', this.#coolDownMs);
    } else if (this.#state === 'closed') this.#count(outcome);
  }

  #count(failure: NokvError): void {
    this.#failures += 1;
    if (this.#failures < this.#policy.failuresMax) return;
    this.#failure = failure;
    this.#opened += 1;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#coolDownMs = this.#policy.coolDownMs;
    this.#endProbe('open', this.#coolDownMs);
  }

  #close(): void {
    this.#failures = 0;
    if (this.#state === 'closed') return;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#endProbe('closed', 0);
  }

  #endProbe(state: CircuitState, coolDownMs: number): void {
    this.#state = state;
    this.#probeAtMs = this.#clock.monotonicMs() + coolDownMs * (0.5 + this.#random.float() / 2);
    this.#probe?.resolve();
    this.#probe = undefined;
  }
}

/** Those who wait for a probe. */
interface Probe {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function newProbe(): Probe {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Another's failure as ours: nothing was sent for us, whatever became of that request. */
function spared({ message, details, cause }: NokvError): NokvError {
  return new NokvError('store-unavailable', `the store does not answer; last: ${message}`, { details, cause });
}
