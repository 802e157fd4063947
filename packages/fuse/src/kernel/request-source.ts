/** Where requests come from: bytes of one request at a time, in a buffer that is lent until the callback returns. */
export interface RequestSource {
  readonly kind: 'polled' | 'thread';
  /** A request was answered: the next one is likely to come at once. */
  stir(): void;
  /** Stops reading and closes the descriptor. */
  close(): Promise<void>;
}

export interface RequestListener {
  readonly buffer: Uint8Array;
  /** `bytes` bytes of {@link buffer} are one request. Must not throw. */
  onRequest(bytes: number): void;
  /** The kernel let go of the mount; nothing comes after it. */
  onEnd(): void;
}
