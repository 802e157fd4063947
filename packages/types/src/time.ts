/** Points in time as the kernel keeps them, and the ports for clocks and randomness. */

/** Seconds since the epoch (may be negative) and 0 to 999,999,999 nanoseconds. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

/** Every reading of time goes through this port, so that simulation decides what time it is. */
export interface Clock {
  /** Wall clock, nanosecond fields (resolution as the platform has it). */
  now(): Timespec;
  /** Wall clock in milliseconds since the epoch. */
  nowMs(): number;
  /** Monotonic milliseconds, fractional; the only base for deadlines and leases. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Every random draw goes through this port, so that a seed decides everything in simulation. */
export interface Random {
  /** Fresh bytes, owned by the caller. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1): for jitter, never for ids. */
  float(): number;
}

export function timespecFromMs(ms: number): Timespec {
  const sec = Math.floor(ms / 1000);
  // Rounding down keeps the nanoseconds below a full second.
  return { sec, nsec: Math.min(Math.floor((ms - sec * 1000) * 1e6), 999_999_999) };
}

/** From the nanoseconds of a bigint `stat`, without loss. */
export function timespecFromNs(ns: bigint): Timespec {
  const nsec = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return { sec: Number((ns - nsec) / NS_PER_SECOND), nsec: Number(nsec) };
}

const NS_PER_SECOND = 1_000_000_000n;

export function timespecToMs(time: Timespec): number {
  return time.sec * 1000 + time.nsec / 1e6;
}

export function compareTimespec(a: Timespec, b: Timespec): number {
  return a.sec - b.sec || a.nsec - b.nsec;
}

/** RFC 3339 in UTC with nine digits of nanoseconds. */
export function formatTimespec(time: Timespec): string {
  const seconds = new Date(time.sec * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(time.nsec).padStart(9, '0')}Z`;
}
