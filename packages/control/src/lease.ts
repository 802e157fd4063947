/**
 * A lease as its holder sees it: valid by our own monotonic clock, counted from before the request that granted or
 * renewed it, less a margin; whatever the coordinator or its library says about loss is at most a reason to end early.
 *
 * Invariants: once invalid, invalid for ever; `ended` settles once; no renewal runs after the end.
 */
import type { Clock } from '@nokv/types';

export interface LeaseOptions {
  readonly ttlMs: number;
  readonly clock: Clock;
  /** Monotonic time read before the request that granted the lease was sent. */
  readonly grantSentAtMs: number;
  /** One try; resolves to false when the coordinator no longer knows the lease; rejects when it does not answer. */
  readonly renew: () => Promise<boolean>;
}

export interface HeldLease {
  isValid(): boolean;
  readonly ended: Promise<'lost' | 'released'>;
  /** Ends it from our side; the caller tells the coordinator. */
  end(how: 'lost' | 'released'): void;
}

/**
 * What we take off the coordinator's term: clocks that run at different rates, and the time between the last check of
 * a request and its effect.
 */
export function leaseMarginMs(ttlMs: number): number {
  return Math.max(ttlMs * 0.1, Math.min(250, ttlMs * 0.25));
}

/** Renewals are tried three times a term, so that one lost answer costs nothing. */
export function renewalPeriodMs(ttlMs: number): number {
  return ttlMs / 3;
}

export function holdLease(options: LeaseOptions): HeldLease {
  const { clock, ttlMs } = options;
  const termMs = ttlMs - leaseMarginMs(ttlMs);
  const stop = new AbortController();
  let validUntilMs = options.grantSentAtMs + termMs;
  let isEnded = false;
  let tell: (how: 'lost' | 'released') => void = () => {};
  const ended = new Promise<'lost' | 'released'>((resolve) => (tell = resolve));

  function end(how: 'lost' | 'released'): void {
    if (isEnded) return;
    isEnded = true;
    stop.abort();
    tell(how);
  }

  function isValid(): boolean {
    if (isEnded) return false;
    if (clock.monotonicMs() < validUntilMs) return true;
    end('lost');
    return false;
  }

  /** Resolves after `ms`, earlier when the lease ends. */
  async function rest(ms: number, signal = stop.signal): Promise<void> {
    await clock.sleep(Math.max(0, ms), signal).catch(() => undefined);
  }

  /** Ends with the lease. Renewals overlap neither each other nor the end of the term: a slow one is not waited for. */
  async function renewUntilEnded(): Promise<void> {
    let pauseMs = renewalPeriodMs(ttlMs);
    while (isValid()) {
      await rest(Math.min(pauseMs, validUntilMs - clock.monotonicMs()));
      if (!isValid()) return;
      const sentAtMs = clock.monotonicMs();
      const answer = options.renew().then(
        (isKnown) => (isKnown ? 'renewed' : 'gone'),
        () => 'no-answer' as const,
      );
      const answered = new AbortController();
      const patience = rest(validUntilMs - sentAtMs, AbortSignal.any([stop.signal, answered.signal]));
      const outcome = await Promise.race([answer, patience.then(() => 'too-late' as const)]);
      answered.abort();
      if (outcome === 'gone') return end('lost');
      if (outcome === 'renewed' && isValid()) validUntilMs = sentAtMs + termMs;
      pauseMs = outcome === 'renewed' ? renewalPeriodMs(ttlMs) : Math.min(100, ttlMs / 10);
    }
  }

  void renewUntilEnded();
  return { isValid, ended, end };
}
