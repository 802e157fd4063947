/**
 * The incarnation of the shard that this process serves, from its opening until the end of the process or until versions that were
 * shown can never become durable.
 *
 * Invariant: once such a loss is known, in the same turn, every connection is cut, and every later one and every call refused: what
 * becomes durable after it is announced to nobody who was shown what was lost. The process is to end; the next one has its own
 * incarnation. Where the shard can be opened anew in the same process (from the shared log), it is renewed instead.
 */
import type { ShardEngine } from '@nokv/meta';
import type { Incarnation } from '@nokv/protocol';
import { NokvError, type Random, type Version } from '@nokv/types';

export interface ShardLife {
  /** The present one. */
  readonly incarnation: Incarnation;
  /** The shard was opened anew: a new incarnation begins, connections of the last are cut. */
  renew(): void;
  /** Set once something that was shown is lost. */
  refusal(): NokvError | undefined;
  /** Whose connections are cut then, and the highest version that was shown before it was durable. */
  guard(doors: { readonly shownVersion: () => Version; readonly cut: () => void }): void;
  /** Resolves with the reason when something that was shown is lost. */
  readonly lost: Promise<Error>;
}

/** @param isRenewable a loss is followed by `renew`, not by the end of the process. */
export function beginShardLife(engine: ShardEngine, random: Random, isRenewable = false): ShardLife {
  const begin = (): Incarnation => ({ id: Buffer.from(random.bytes(12)).toString('hex'), opened: engine.visibleVersion });
  let incarnation = begin();
  let cutAll: () => void = () => undefined;
  let loss: NokvError | undefined;
  let tellLost: (error: Error) => void = () => undefined;
  const lost = new Promise<Error>((resolve) => (tellLost = resolve));
  return {
    get incarnation() {
      return incarnation;
    },
    renew() {
      incarnation = begin();
      loss = undefined;
      cutAll();
    },
    refusal: () => loss,
    lost,
    guard({ shownVersion, cut }) {
      cutAll = cut;
      engine.onLost((first, last) => {
        // A failed commit that nobody was told of is answered to its callers and concerns nobody else.
        if (loss !== undefined || shownVersion() < first) return;
        const what = `versions ${first} to ${last} were shown and could not be made durable`;
        loss = new NokvError('unavailable', `${what}; see the log for the reason, mend it and start again`);
        cut();
        if (!isRenewable) tellLost(loss);
      });
    },
  };
}
