/**
 * The shard of a process whose truth is the shared log. With each ownership its engine is opened anew: the store on this node's disk
 * is brought to the head of the log, earlier owners are fenced, and only then does it serve.
 *
 * Invariants: at most one engine, over one opening of the store; the engine of an earlier ownership is closed, with everything it had
 * under way, before the store is opened for the next; images are written by the engine's owner alone.
 */
import {
  ImageKeeper,
  openSharedShard,
  readLogPosition,
  type ImagePolicy,
  type LogStats,
  type LogStore,
  type OrderedKv,
  type Recovered,
  type ShardEngine,
  type SharedShardOptions,
} from '@nokv/meta';
import { NokvError, epoch, isNokvError, toNokvError, type Epoch } from '@nokv/types';
import type { Logger } from './logger.js';
import { replaceableEngine } from './replaceable-engine.js';

export interface HostedShardOptions extends Omit<SharedShardOptions, 'kv' | 'epoch' | 'hasBeenServed'> {
  readonly store: LogStore;
  /** Opens the store on this node's disk; called again after the last one was closed. */
  readonly openKv: () => Promise<OrderedKv>;
  readonly images: Partial<ImagePolicy> | undefined;
  readonly isServing: () => boolean;
  readonly log: Logger;
}

export interface HostedShard {
  /** The same for as long as the process lives. */
  readonly engine: ShardEngine;
  /** The highest epoch that this node has seen in the log. */
  readonly epochSeen: Epoch;
  /** Opens the engine under this epoch; `fenced` when the log has seen a later one, which counts as seen from then on. */
  recover(epoch: Epoch, hasBeenServed: boolean): Promise<Recovered>;
  /** Called when the engine may not go on, with the reason. */
  onStepDown(listener: (reason: NokvError) => void): void;
  /** One turn of image writing and truncation; undefined while not serving. */
  keepImages(): Promise<void>;
  readonly log: LogStats | undefined;
  readonly images: number;
  close(): Promise<void>;
}

export async function openHostedShard(options: HostedShardOptions): Promise<HostedShard> {
  const { shard, log, clock, random, store } = options;
  const engines = replaceableEngine();
  const listeners = new Set<(reason: NokvError) => void>();
  /** What is open on the disk; the engine's once there is one. */
  let kv: OrderedKv | undefined = await options.openKv();
  let epochSeen = readLogPosition(kv)?.epoch ?? epoch(0);
  let stats: (() => LogStats) | undefined;
  let keeper: ImageKeeper | undefined;
  let keeping: Promise<unknown> = Promise.resolve();
  let images = 0;

  async function giveUpEngine(): Promise<void> {
    const last = engines.current;
    engines.replace(undefined);
    images += keeper?.images ?? 0;
    keeper = undefined;
    stats = undefined;
    // A snapshot that is being read belongs to the store that is closed next.
    await keeping.catch(() => undefined);
    if (last === undefined) return;
    kv = undefined;
    await last.close();
  }

  /** Recoveries take turns: one of an ownership that was lost meanwhile is finished before the next begins. */
  let turn: Promise<unknown> = Promise.resolve();
  function recover(under: Epoch, hasBeenServed: boolean): Promise<Recovered> {
    const mine = turn.then(() => recoverInTurn(under, hasBeenServed));
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function recoverInTurn(under: Epoch, hasBeenServed: boolean): Promise<Recovered> {
    await giveUpEngine();
    const opened = (kv ??= await options.openKv());
    try {
      const shared = await openSharedShard({ ...options, kv: opened, epoch: under, hasBeenServed });
      const { sink, engine, recovered } = shared;
      engines.replace(engine);
      stats = () => sink.stats;
      const mustOwn = (): void => {
        if (!options.isServing() || engines.current !== engine) throw new NokvError('lease-lost', 'images are the owner’s business');
      };
      keeper = new ImageKeeper({ kv: opened, store, shard, clock, random, log: () => sink.stats, mustOwn, policy: options.images });
      epochSeen = under;
      void engine.failed.then((reason) => {
        if (engines.current === engine) for (const listener of listeners) listener(toNokvError(reason));
      });
      return recovered;
    } catch (error) {
      const seen = isNokvError(error, 'fenced') ? error.details['epoch'] : undefined;
      if (typeof seen === 'number' && seen > epochSeen) epochSeen = epoch(seen);
      kv = undefined;
      await opened.close();
      throw error;
    }
  }

  async function keepImages(): Promise<void> {
    const current = keeper;
    if (current === undefined || !options.isServing()) return;
    const turn = current.turn();
    keeping = turn;
    const { written, segmentsRemoved, objectsRemoved } = await turn;
    if (written !== undefined) {
      const { sequence, rows, bytes } = written.manifest;
      log.info({ shard, image: written.prefix, sequence, rows, bytes }, 'wrote an image');
    }
    if (segmentsRemoved + objectsRemoved > 0) log.info({ shard, segmentsRemoved, objectsRemoved }, 'truncated the log');
  }

  return {
    engine: engines.face,
    get epochSeen() {
      return epochSeen;
    },
    recover,
    onStepDown: (listener) => void listeners.add(listener),
    keepImages,
    get log() {
      return stats?.();
    },
    get images() {
      return images + (keeper?.images ?? 0);
    },
    async close() {
      await turn;
      await giveUpEngine();
      await kv?.close();
      kv = undefined;
    },
  };
}
