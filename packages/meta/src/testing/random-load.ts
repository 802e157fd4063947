/** A load that a seed decides: callers at once, retries, failures, internal work; for replays and recoveries. */
import { LOCK_END_MAX, isNokvError, requestId, type MutationOperation, type MutationOperations, type SessionId } from '@nokv/types';
import type { ShardEngine } from '../shard-engine.js';
import { OWNER, at, inline, type ManualClock } from './test-shard.js';

/** Mulberry32 (Ettinger, public domain): the same seed, the same draws. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Mutation = { readonly [Op in MutationOperation]: readonly [Op, MutationOperations[Op]['args']] }[MutationOperation];

export function drawMutation(draw: (below: number) => number): Mutation {
  const path = (): ReturnType<typeof at> => at(`/${Array.from({ length: 1 + draw(3) }, () => 'abcd'[draw(4)]).join('/')}`);
  const mutations: (() => Mutation)[] = [
    () => ['mkdir', { entry: path(), mode: 0o755, parents: draw(2) === 0, ...OWNER }],
    () => ['create', { entry: path(), mode: 0o644, type: draw(5) === 0 ? 'fifo' : 'file', exclusive: draw(2) === 0, ...OWNER }],
    () => ['publish', { node: path(), body: inline('x'.repeat(draw(200))), mode: 0o644, parents: draw(2) === 0, ...OWNER }],
    () => ['publish', { node: path(), body: inline(String(draw(1000))), mode: 0o600, setMode: true, ...OWNER }],
    () => ['symlink', { entry: path(), target: Buffer.from('a/b'), ...OWNER }],
    () => ['link', { node: path(), entry: path() }],
    () => ['unlink', { entry: path() }],
    () => ['rmdir', { entry: path() }],
    () => ['remove-tree', { entry: path() }],
    () => ['rename', { from: path(), to: path(), mode: (['replace', 'no-replace', 'exchange'] as const)[draw(3)] ?? 'replace' }],
    () => ['setattr', { node: path(), size: draw(100) }],
    () => ['setattr', { node: path(), mode: draw(0o1000), mtime: 'now' }],
    () => ['xattr-set', { node: path(), name: Buffer.from(`user.${draw(3)}`), value: Buffer.alloc(draw(40), 7), mode: 'set' }],
    () => ['xattr-remove', { node: path(), name: Buffer.from(`user.${draw(3)}`) }],
    () => ['begin-upload', { target: 'load', ttlMs: 1000 + draw(5000) }],
    () => ['begin-tree', { mode: 0o755, ttlMs: 1000 + draw(5000), ...OWNER }],
  ];
  return (mutations[draw(mutations.length)] as () => Mutation)();
}

/** Sessions and what they hold, under one of those that were opened so far. */
function drawHeld(draw: (below: number) => number, sessions: readonly SessionId[]): Mutation {
  const session = sessions[draw(sessions.length)];
  if (session === undefined || draw(6) === 0) return ['open-session', { name: `s${draw(10)}`, ttlMs: 1000 + draw(5000) }];
  const node = at(`/${'abcd'[draw(4)]}`);
  const start = draw(8);
  const place = { node, session, owner: draw(3), kind: 'range', start, end: start + 1 + draw(8) } as const;
  const type = draw(2) === 0 ? 'shared' : 'exclusive';
  const mutations: (() => Mutation)[] = [
    () => ['renew-session', { session, ttlMs: 1000 + draw(5000) }],
    () => ['close-session', { session }],
    () => ['lock', { ...place, type }],
    () => ['lock', { ...place, kind: 'flock', start: 0, end: LOCK_END_MAX, type }],
    () => ['unlock', place],
    () => ['open-handle', { node, session }],
    () => ['open-handle', { node, session }],
  ];
  return (mutations[draw(mutations.length)] as () => Mutation)();
}

export interface LoadOptions {
  readonly engine: ShardEngine;
  readonly clock: ManualClock;
  readonly seed: number;
  readonly steps: number;
  /** Told of every mutation that was acknowledged. */
  readonly onAcknowledged?: (request: string, version: number) => void;
}

/** @returns how many mutations succeeded; those that fail do so with an error of ours. */
export async function runLoad({ engine, clock, seed, steps, onAcknowledged }: LoadOptions): Promise<number> {
  const draw = seeded(seed);
  const underWay: Promise<unknown>[] = [];
  const sessions: SessionId[] = [];
  let succeeded = 0;
  const send = (id: string, [operation, args]: Mutation, acknowledgement: 'durable' | 'visible'): void => {
    const context = { requestId: requestId(id), actor: 'load', acknowledgement };
    const answer = engine.mutate(operation as 'mkdir', args as MutationOperations['mkdir']['args'], context).then(
      ({ version, result }) => {
        succeeded += 1;
        if (operation === 'open-session') sessions.push((result as unknown as MutationOperations['open-session']['result']).session);
        onAcknowledged?.(id, version);
      },
      (error: unknown) => {
        if (!isNokvError(error) || error.code === 'internal') throw error;
      },
    );
    underWay.push(answer);
  };
  for (let step = 0; step < steps; step++) {
    const mutation = draw(6) === 0 ? drawHeld(draw, sessions) : drawMutation(draw);
    const id = `s${seed}-${step}`;
    send(id, mutation, draw(4) === 0 ? 'visible' : 'durable');
    if (draw(10) === 0) send(id, mutation, 'durable');
    if (draw(5) === 0) clock.ms += draw(3000);
    if (draw(12) === 0) underWay.push(engine.maintain(() => Promise.resolve()).catch(ignoreOurs));
    if (draw(6) === 0) await Promise.all(underWay.splice(0));
    else if (draw(3) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(underWay);
  return succeeded;
}

function ignoreOurs(error: unknown): void {
  if (!isNokvError(error)) throw error;
}
