/**
 * Rows of the staging ledger that the mount writes blocks under.
 *
 * A file that streams whole blocks has a lease of its own, ended by its publish. Small publishes share one, which is
 * retired when it has grown to a segment's size and ended when the last publish from it is done. A row is durable before the
 * first block is sent. Live leases are renewed well before they expire.
 */
import type { TicketedUpload } from '@nokv/client';
import type { UploadId } from '@nokv/types';

export interface LedgerCalls {
  begin(): Promise<TicketedUpload>;
  renew(upload: UploadId): Promise<TicketedUpload>;
  end(upload: UploadId): Promise<void>;
}

export interface UploadLease {
  readonly upload: UploadId;
  ticket: string;
  nextIndex: number;
  bytes: number;
  readonly isShared: boolean;
  isRetired: boolean;
  users: number;
}

const SHARED_BYTES_MAX = 64 * 1024 * 1024;
const SHARED_BLOCKS_MAX = 512;
export const LEASE_TTL_MS = 60 * 60 * 1000;

export class UploadLeases {
  readonly #live = new Set<UploadLease>();
  readonly #timer: NodeJS.Timeout;
  #shared: Promise<UploadLease> | undefined;

  constructor(readonly ledger: LedgerCalls) {
    this.#timer = setInterval(() => void this.#renewAll(), LEASE_TTL_MS / 4);
    this.#timer.unref();
  }

  /** A lease for one file; give it back with `release`. */
  async own(): Promise<UploadLease> {
    return this.#begin(false);
  }

  /** The shared lease; give it back with `release`. */
  async share(): Promise<UploadLease> {
    // Bounded: each turn either succeeds or meets a lease that was retired meanwhile.
    for (;;) {
      const pending = (this.#shared ??= this.#begin(true));
      let lease: UploadLease;
      try {
        lease = await pending;
      } catch (error) {
        if (this.#shared === pending) this.#shared = undefined;
        throw error;
      }
      if (lease.isRetired) {
        if (this.#shared === pending) this.#shared = undefined;
        continue;
      }
      lease.users += 1;
      return lease;
    }
  }

  /** Done with a lease. `wasEnded` when a publish ended the row itself. */
  release(lease: UploadLease, wasEnded: boolean): void {
    lease.users -= 1;
    if (lease.isShared && (lease.bytes >= SHARED_BYTES_MAX || lease.nextIndex >= SHARED_BLOCKS_MAX)) lease.isRetired = true;
    if (lease.users > 0 || (lease.isShared && !lease.isRetired)) return;
    this.#live.delete(lease);
    // A row that could not be ended expires by itself.
    if (!wasEnded) this.ledger.end(lease.upload).catch(() => undefined);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const lease of this.#live) if (lease.isShared && lease.users === 0) this.ledger.end(lease.upload).catch(() => undefined);
  }

  async #begin(isShared: boolean): Promise<UploadLease> {
    const { upload, ticket } = await this.ledger.begin();
    const lease: UploadLease = { upload, ticket, nextIndex: 0, bytes: 0, isShared, isRetired: false, users: isShared ? 0 : 1 };
    this.#live.add(lease);
    return lease;
  }

  async #renewAll(): Promise<void> {
    for (const lease of this.#live) {
      try {
        lease.ticket = (await this.ledger.renew(lease.upload)).ticket;
      } catch {
        // Three more tries before it expires; a publish from an expired row fails loudly.
      }
    }
  }
}
