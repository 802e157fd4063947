/**
 * The incarnation of the shard that this process serves, from its opening until the end of the process or until versions that were
 * shown can never become durable.
 *
 * Invariant: once such a loss is known, in the same turn, every connection is cut, and every later one and every call refused: what
 * becomes durable after it is announced to nobody who was shown what was lost. The process is to end; the next one has its own
 * incarnation.
 */
import type { ShardEngine } from '@nokv/meta';
import type { Incarnation } from '@nokv/protocol';
import { NokvError, type Random, type Version } from '@nokv/types';

export interface ShardLife {
  readonly incarnation: Incarnation;
  /** Set once something that was shown is lost. */
  refusal(): NokvError | undefined;
  /** Whose connections are cut then, and the highest version that was shown before it was durable. */
  guard(doors: { readonly shownVersion: () => Version; readonly cut: () => void }): void;
  /** Resolves with the reason when something that was shown is lost. */
  readonly lost: Promise<Error>;
}

export function beginShardLife(engine: ShardEngine, random: Random): ShardLife {
  let loss: NokvError | undefined;
  let tellLost: (error: Error) => void = () => undefined;
  const lost = new Promise<Error>((resolve) => (tellLost = resolve));
  return {
    incarnation: { id: Buffer.from(random.bytes(12)).toString('hex'), opened: engine.visibleVersion },
    refusal: () => loss,
    lost,
    guard({ shownVersion, cut }) {
      engine.onLost((first, last) => {
        // A failed commit that nobody was told of is answered to its callers and concerns nobody else.
        if (loss !== undefined || shownVersion() < first) return;
        const what = `versions ${first} to ${last} were shown and could not be made durable`;
        loss = new NokvError('unavailable', `${what}; see the log for the reason, mend it and start again`);
        cut();
        tellLost(loss);
      });
    },
  };
}
