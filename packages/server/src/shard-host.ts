/**
 * Drives one shard's ownership: performs the work that the state machine of `@nokv/control` asks for and feeds back what
 * came of it. The gate is the only thing that the request path sees of all this.
 *
 * Invariants: the gate lets a call pass only in `serving` and `draining` and only while the lease is valid by its own
 * clock; work of an earlier ownership never acts on a later one (each carries its epoch).
 */
import {
  INITIAL_OWNERSHIP,
  servesIn,
  stepOwnership,
  type Coordinator,
  type NodeIdentity,
  type Ownership,
  type OwnershipEvent,
  type OwnershipState,
  type OwnershipWork,
} from '@nokv/control';
import type { ShardGate } from '@nokv/meta';
import { setTimeout as delay } from 'node:timers/promises';
import { NokvError, toNokvError, unreachable, type Epoch, type ShardId } from '@nokv/types';
import type { Logger } from './logger.js';

export interface ShardHostOptions {
  readonly shard: ShardId;
  readonly node: NodeIdentity;
  readonly coordinator: Coordinator;
  readonly log: Logger;
  /** The highest epoch that the shard's data has seen. */
  readonly dataEpoch: () => Epoch;
  /** Makes the data ready to serve under this epoch, durably. */
  readonly recover: (epoch: Epoch, hasBeenServed: boolean) => Promise<void>;
  /** Waits for its turn where somebody else serves, instead of taking that for an obstacle to the start. */
  readonly mayStandBy?: boolean | undefined;
}

export interface ShardHost {
  readonly gate: ShardGate;
  readonly state: OwnershipState;
  /** The epoch served under; undefined while not serving. */
  readonly epoch: Epoch | undefined;
  isServing(): boolean;
  /** Campaigns; resolves once serving for the first time. Rejects where waiting cannot help, or after `timeoutMs`. */
  start(timeoutMs: number): Promise<void>;
  /** The shard may not go on as it is: gives the ownership up at once, and campaigns for the next. */
  stepDown(reason: NokvError): void;
  /** The shard may not be served by this process any more. */
  giveUp(reason: NokvError): void;
  /** Finishes by `drain`, then gives the shard up. Harmless when repeated. */
  stop(drain: () => Promise<void>): Promise<void>;
  /** Settles when the shard cannot be served by this process any more. */
  readonly failed: Promise<NokvError>;
}

/** Between two tries while somebody else holds the shard or the coordinator does not answer; a watch wakes earlier. */
const RETRY_MS = 500;
/** After recoveries that failed, one after the other: each may cost a read of everything. */
const RECOVERY_RETRY_MS_MAX = 30_000;
/** Longer than a timer can wait for is as good as for ever. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export function hostShard(options: ShardHostOptions): ShardHost {
  const { shard, coordinator, log } = options;
  const stopping = new AbortController();
  let state: OwnershipState = INITIAL_OWNERSHIP;
  let ownership: Ownership | undefined;
  /** Why it is not serving yet, for whoever waits for the start. */
  let lastObstacle: NokvError | undefined;
  let hasServed = false;
  let hasBeenServed = false;
  let recoveriesFailed = 0;
  /** Why this process will not serve the shard any more. */
  let givenUp: NokvError | undefined;
  let drainDoors: () => Promise<void> = async () => {};
  let tellFailed: (error: NokvError) => void = () => {};
  const failed = new Promise<NokvError>((resolve) => (tellFailed = resolve));
  const listeners = new Set<() => void>();
  let releasing: Promise<void> = Promise.resolve();

  function dispatch(event: OwnershipEvent): void {
    const before = state.name;
    const step = stepOwnership(state, event);
    state = step.state;
    if (state.name !== before)
      log.info({ shard, from: before, to: state.name, epoch: 'epoch' in state ? state.epoch : undefined }, 'ownership');
    if (state.name === 'serving') hasServed = true;
    for (const work of step.work) void perform(work);
    for (const listener of listeners) listener();
  }

  function perform(work: OwnershipWork): void | Promise<void> {
    switch (work.name) {
      case 'acquire':
        return acquire(work.attempt);
      case 'recover':
        return recover(work.epoch);
      case 'drain':
        return drain();
      case 'release':
        return release();
      case 'open-gate':
      case 'close-gate':
        // The gate reads the state itself.
        return;
      default:
        return unreachable(work);
    }
  }

  async function acquire(attempt: number): Promise<void> {
    if (recoveriesFailed > 0) await pause(Math.min(RECOVERY_RETRY_MS_MAX, RETRY_MS * 2 ** (recoveriesFailed - 1)));
    else if (attempt > 1) await coordinator.ownerMayHaveChanged(shard, RETRY_MS, stopping.signal);
    if (stopping.signal.aborted) return;
    try {
      const answer = await coordinator.acquire(shard, options.node, options.dataEpoch());
      if (answer.kind === 'acquired') {
        const taken = answer.ownership;
        if (stopping.signal.aborted) return void (await taken.release());
        ownership = taken;
        hasBeenServed = answer.hasBeenServed;
        void taken.ended.then((how) => how === 'lost' && dispatch({ name: 'lost', epoch: taken.epoch }));
        return dispatch({ name: 'acquired', epoch: taken.epoch });
      }
      if (answer.kind === 'foreign') {
        return giveUp(
          new NokvError(
            'not-owner',
            `shard ${shard} has been served from other data (${answer.home}) than this directory holds (${options.node.home}); start the node that has it, or give another prefix to --control`,
          ),
        );
      }
      obstacle(
        new NokvError(
          'not-owner',
          `shard ${shard} is held by ${answer.by.id} at ${answer.by.endpoint} under epoch ${answer.epoch}; stop it or wait`,
        ),
        attempt,
      );
    } catch (error) {
      obstacle(toNokvError(error), attempt);
    }
    dispatch({ name: 'not-acquired' });
  }

  async function recover(epoch: Epoch): Promise<void> {
    try {
      await options.recover(epoch, hasBeenServed);
      if (!hasBeenServed && ownership?.epoch === epoch) await ownership.noteServed();
      recoveriesFailed = 0;
      dispatch({ name: 'recovered', epoch });
    } catch (error) {
      recoveriesFailed += 1;
      obstacle(toNokvError(error), 1);
      dispatch({ name: 'recovery-failed', epoch });
    }
  }

  /** Ends early when this host is stopped. */
  async function pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  }

  async function drain(): Promise<void> {
    await drainDoors();
    dispatch({ name: 'drained' });
  }

  async function release(): Promise<void> {
    const last = ownership;
    ownership = undefined;
    if (last !== undefined) releasing = last.release();
    await releasing.catch((error: unknown) => log.warn({ shard, error: toNokvError(error).toRecord() }, 'release'));
  }

  function obstacle(error: NokvError, attempt: number): void {
    lastObstacle = error;
    // The first time and then about twice a minute: a long outage must not fill the log.
    if (attempt % 60 === 1) log.warn({ shard, attempt, error: error.toRecord() }, 'not serving');
    else log.debug({ shard, attempt, error: error.toRecord() }, 'not serving');
    for (const listener of listeners) listener();
  }

  function giveUp(error: NokvError): void {
    lastObstacle = error;
    givenUp = error;
    log.error({ shard, error: error.toRecord() }, 'cannot serve');
    tellFailed(error);
  }

  function refusal(): NokvError | undefined {
    if (givenUp !== undefined) return givenUp;
    if (servesIn(state) && ownership?.isValid() === true) return undefined;
    switch (state.name) {
      case 'released':
      case 'draining':
        return new NokvError('draining', 'this server is stopping; connect again shortly');
      case 'unassigned':
      case 'acquiring':
      case 'recovering':
        if (!hasServed) return new NokvError('not-owner', `this server does not own shard ${shard} yet; try again shortly`);
        break;
      case 'serving':
      case 'fenced':
        break;
      default:
        return unreachable(state);
    }
    return new NokvError(
      'lease-lost',
      `this server lost the lease of shard ${shard} and serves again once it has it back; try again shortly`,
    );
  }

  return {
    gate: { refusal },
    failed,
    get state() {
      return state;
    },
    get epoch() {
      return servesIn(state) && ownership?.isValid() === true ? ownership.epoch : undefined;
    },
    isServing: () => givenUp === undefined && state.name === 'serving' && ownership?.isValid() === true,

    start(timeoutMs) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => {
            settle();
            reject(
              lastObstacle ?? new NokvError('control-unavailable', `${coordinator.description} did not answer within ${timeoutMs} ms`),
            );
          },
          Math.min(timeoutMs, TIMER_MS_MAX),
        );
        function settle(): void {
          clearTimeout(timer);
          listeners.delete(look);
        }
        function look(): void {
          if (state.name === 'serving') {
            settle();
            resolve();
          } else if (state.name === 'released') {
            settle();
            reject(new NokvError('draining', 'this server was stopped before it served'));
          } else if (options.mayStandBy === true && lastObstacle?.code === 'not-owner') {
            settle();
            resolve();
          } else if (lastObstacle?.kind === 'corrupt' || (lastObstacle?.kind === 'invalid' && recoveriesFailed > 0)) {
            // No wait mends what a recovery found wrong.
            settle();
            reject(lastObstacle);
          } else if (lastObstacle?.code === 'control-unavailable') {
            // A coordinator that cannot be reached at the start is most likely a wrong address.
            settle();
            reject(lastObstacle);
          }
        }
        void failed.then((error) => {
          settle();
          reject(error);
        });
        listeners.add(look);
        dispatch({ name: 'start' });
        look();
      });
    },

    stepDown(reason) {
      const last = ownership;
      if (last === undefined) return;
      log.warn({ shard, epoch: last.epoch, error: reason.toRecord() }, 'steps down');
      dispatch({ name: 'lost', epoch: last.epoch });
      void last.release().catch((error: unknown) => log.warn({ shard, error: toNokvError(error).toRecord() }, 'release'));
    },
    giveUp,

    async stop(drainWork) {
      drainDoors = drainWork;
      dispatch({ name: 'stop' });
      stopping.abort();
      if (state.name !== 'released') {
        await new Promise<void>((resolve) => {
          const look = (): void => {
            if (state.name !== 'released') return;
            listeners.delete(look);
            resolve();
          };
          listeners.add(look);
        });
      }
      await releasing.catch(() => undefined);
    },
  };
}
