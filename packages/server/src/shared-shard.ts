/**
 * The shard of a process whose truth is the shared log. With each ownership its engine is opened anew: the store on this node's disk
 * is brought to the head of the log, earlier owners are fenced, and only then does it serve.
 *
 * Invariants: at most one engine at a time has the store; the engine of an earlier ownership is closed, with everything it had under
 * way, before the next is opened; images are written by the engine's owner alone.
 */
import {
  APPEND_TRUST_MS_DEFAULT,
  IMAGE_POLICY_DEFAULT,
  ImageKeeper,
  lendKv,
  openSharedShard,
  readLogPosition,
  type ImagePolicy,
  type LogSink,
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

export interface HostedShardOptions extends Omit<SharedShardOptions, 'epoch' | 'hasBeenServed'> {
  readonly store: LogStore;
  /** On this node's disk; closed with this. */
  readonly kv: OrderedKv;
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
  /**
   * Called when the engine may not go on, with the reason; `isDiskLost` when this node's disk did not keep what it was given, so that
   * nothing may be built on it before the process was started again.
   */
  onStepDown(listener: (reason: NokvError, isDiskLost: boolean) => void): void;
  /** Resolves when everything that was acknowledged is in the log, or nothing more comes to be. */
  shipped(): Promise<void>;
  /** One turn of image writing and truncation; undefined while not serving. */
  keepImages(): Promise<void>;
  readonly log: LogStats | undefined;
  readonly images: number;
  close(): Promise<void>;
}

export function openHostedShard(options: HostedShardOptions): HostedShard {
  const { shard, log, clock, random, store } = options;
  const engines = replaceableEngine();
  // Whoever truncates earlier has to look more often.
  const { retentionMs } = { ...IMAGE_POLICY_DEFAULT, ...options.images };
  const appendTrustMs = Math.max(0, Math.min(APPEND_TRUST_MS_DEFAULT, retentionMs / 2));
  const listeners = new Set<Parameters<HostedShard['onStepDown']>[0]>();
  let epochSeen = readLogPosition(options.kv)?.epoch ?? epoch(0);
  let sink: LogSink | undefined;
  let keeper: ImageKeeper | undefined;
  let keeping: Promise<unknown> = Promise.resolve();
  let images = 0;

  async function giveUpEngine(): Promise<void> {
    const last = engines.current;
    engines.replace(undefined);
    images += keeper?.images ?? 0;
    keeper = undefined;
    const lastSink = sink;
    sink = undefined;
    // A snapshot that is being read belongs to the store that is closed next.
    await keeping.catch(() => undefined);
    await last?.close();
    lastSink?.stop();
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
    const kv = lendKv(options.kv);
    try {
      const shared = await openSharedShard({ ...options, appendTrustMs, kv, epoch: under, hasBeenServed });
      const { engine, recovered } = shared;
      const opened = shared.sink;
      engines.replace(engine);
      sink = opened;
      const mustOwn = (): void => {
        if (!options.isServing() || engines.current !== engine) throw new NokvError('lease-lost', 'images are the owner’s business');
      };
      keeper = new ImageKeeper({
        kv,
        store,
        shard,
        clock,
        random,
        log: () => opened.stats,
        mustOwn,
        policy: options.images,
        snapshot: () => opened.atSegment(() => kv.snapshot()),
      });
      epochSeen = under;
      let isOver = false;
      const over = (reason: Error): void => {
        if (isOver || engines.current !== engine) return;
        isOver = true;
        // What the log refused leaves the disk as it is; anything else that ends an engine is the disk's.
        for (const listener of listeners) listener(toNokvError(reason), opened.ended === undefined);
      };
      void engine.failed.then(over);
      void opened.whenEnded.then(over);
      return recovered;
    } catch (error) {
      const seen = isNokvError(error, 'fenced') ? error.details['epoch'] : undefined;
      if (typeof seen === 'number' && seen > epochSeen) epochSeen = epoch(seen);
      await kv.close();
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
    shipped: async () => sink?.shipped(),
    get log() {
      return sink?.stats;
    },
    get images() {
      return images + (keeper?.images ?? 0);
    },
    async close() {
      await turn;
      await giveUpEngine();
      await options.kv.close();
    },
  };
}
