/**
 * The seam between frames and bytes: an ordered, reliable, two-way stream of bytes.
 *
 * Guarantees of every adapter: bytes arrive in order and once; after `onClose` nothing more is called; `onClose` is
 * called exactly once, also when this side closes; nothing is called before `start`, nor from inside `write`.
 */
export interface Transport {
  /** For people and logs: `127.0.0.1:50312`, `unix:/run/nokv.sock`, `memory`. */
  readonly peer: string;
  /** True when the peer is on this machine: loopback, a unix socket, memory. */
  readonly isLocal: boolean;
  /** Bytes accepted by `write` that have not left yet. */
  readonly unsentBytes: number;
  /** Begins delivery. Called once. */
  start(handlers: TransportHandlers): void;
  /**
   * Takes ownership of the bytes and queues them; when `unsentBytes` is 0 afterwards they are the caller's again. False when more than the high-water mark is unsent: stop and wait
   * for `onDrain`. After close the bytes are dropped.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops `onData` until `resume`; what the sender has in flight stays with it. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once; unsent bytes are lost. */
  destroy(): void;
}

export interface TransportHandlers {
  /** The bytes are lent until the call returns: copy what is kept. */
  onData(bytes: Uint8Array): void;
  /** Unsent bytes fell below the low-water mark. */
  onDrain(): void;
  /** The stream ended: by the peer, by this side, or by a failure (`cause`). */
  onClose(cause: Error | undefined): void;
}
