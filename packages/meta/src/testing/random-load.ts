/** A load that a seed decides: callers at once, retries, failures, internal work; for replays and recoveries. */
import {
  ID_RANDOM_BYTES,
  LISTED_OPERATIONS,
  LOCK_END_MAX,
  bodySize,
  isNokvError,
  makeUploadId,
  requestId,
  type BatchAnswer,
  type Caller,
  type ListedMutation,
  type MutationOperation,
  type MutationOperations,
  type Piece,
  type PinId,
  type PublishArgs,
  type SessionId,
  type UploadId,
} from '@nokv/types';
import type { MovedPiece } from '../command.js';
import { placeOf } from '../operations/move-pieces.js';
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
    () => ['publish', { node: path(), ...drawSplice(draw), mode: 0o644, ...OWNER }],
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
    () => [
      'transact',
      {
        operations: [
          { operation: 'mkdir', args: { entry: path(), mode: 0o755, ...OWNER } },
          { operation: 'rename', args: { from: path(), to: path(), mode: 'replace' } },
        ],
      },
    ],
  ];
  return (mutations[draw(mutations.length)] as () => Mutation)();
}

/** Some bytes at the end of a file, or over a part of it. */
function drawSplice(draw: (below: number) => number): Pick<PublishArgs, 'body' | 'splices'> {
  const length = draw(50);
  return { body: inline('s'.repeat(length)), splices: [draw(2) === 0 ? { length } : { offset: draw(100), length }] };
}

const LISTED: ReadonlySet<string> = new Set(LISTED_OPERATIONS);

/** Mutations for a transaction or a batch. */
function drawListed(draw: (below: number) => number, count: number): ListedMutation[] {
  const list: ListedMutation[] = [];
  // Ends: most of what is drawn may be listed.
  while (list.length < count) {
    const [operation, args] = drawMutation(draw);
    if (LISTED.has(operation)) list.push({ operation, args } as ListedMutation);
  }
  return list;
}

function drawTransaction(draw: (below: number) => number): Mutation {
  const node = at(`/${'abcd'[draw(4)]}`);
  const preconditions = draw(3) === 0 ? { preconditions: [draw(2) === 0 ? { node } : { node, exists: false }] } : {};
  return ['transact', { operations: drawListed(draw, 1 + draw(3)), ...preconditions }];
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

/** What is done with the past, at one of the pins that were made so far or now. */
function drawPast(draw: (below: number) => number, pins: readonly PinId[]): Mutation {
  const path = (): ReturnType<typeof at> => at(`/${Array.from({ length: 1 + draw(2) }, () => 'abcd'[draw(4)]).join('/')}`);
  const snapshot = pins[draw(pins.length)];
  const moment = snapshot === undefined || draw(3) === 0 ? {} : { at: { snapshot } };
  const mutations: (() => Mutation)[] = [
    () => ['snapshot-create', { node: draw(3) === 0 ? at('/') : path(), ttlMs: 1000 + draw(20_000) }],
    () => ['tag-set', { name: `t${draw(3)}`, node: path(), ...moment }],
    () => ['clone', { from: path(), to: path(), ...moment, ...OWNER }],
    () => ['clone', { from: path(), to: path(), parents: true, ...moment, ...OWNER }],
    () => ['undelete', { entry: path(), ...OWNER }],
    () => ['retention-set', { node: path(), policy: { keepLast: draw(3), keepMs: draw(5000) } }],
    () => ['prune', { node: path(), keepLast: draw(2), keepMs: 0, limit: 10 }],
    () => ['merge', { fork: path(), dryRun: draw(4) === 0 }],
  ];
  if (snapshot !== undefined) {
    mutations.push(
      () => ['snapshot-renew', { snapshot, ttlMs: 1000 + draw(20_000) }],
      () => ['snapshot-retire', { snapshot }],
      () => ['rollback', { node: draw(5) === 0 ? at('/') : path(), at: { snapshot }, undoTtlMs: 1000 + draw(20_000) }],
    );
  }
  return (mutations[draw(mutations.length)] as () => Mutation)();
}

/** A body in pieces of an upload that was begun, which may be over by now. */
function drawStaged(draw: (below: number) => number, uploads: readonly UploadId[]): Mutation {
  const upload = uploads[uploads.length - 1 - draw(4)];
  if (upload === undefined || draw(3) === 0) return ['begin-upload', { target: 'load', ttlMs: 60_000 }];
  const extents = Array.from({ length: 1 + draw(3) }, (): Piece => {
    const offset = draw(4) * 1000;
    return { upload, index: draw(2), offset, length: 1000, crc32c: offset + 1, skip: 0, take: 1000 };
  });
  const body = { kind: 'blocks', manifest: { size: extents.length * 1000, extents } } as const;
  const node = at(`/${'abcd'[draw(4)]}`);
  const change: Partial<PublishArgs> =
    draw(3) === 0 ? { splices: [{ length: bodySize(body) }] } : { digest: `sha256:${String(draw(4)).repeat(64)}`, share: draw(2) === 0 };
  return ['publish', { node, body, upload, endUpload: draw(2) === 0, mode: 0o644, ...change, ...OWNER }];
}

/** Makes bodies that name one of the uploads name copies in another. */
async function moveTogether(engine: ShardEngine, from: UploadId, to: UploadId, isLast: boolean): Promise<void> {
  const bodies = [];
  const moves = new Map<string, MovedPiece>();
  for await (const { pieces, ...body } of engine.bodiesNaming(new Set([from]))) {
    bodies.push(body);
    for (const piece of pieces) moves.set(placeOf(piece), { from: piece, index: 7, offset: moves.size * 1000 });
  }
  await engine.movePieces({ upload: to, isLast, bodies, moves: [...moves.values()] });
}

const CALLERS: readonly (Caller | undefined)[] = [
  undefined,
  { uid: OWNER.uid, gid: OWNER.gid, groups: [] },
  { uid: 7, gid: 8, groups: [OWNER.gid] },
  { uid: 0, gid: 0, groups: [] },
];

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
  const pins: PinId[] = [];
  const uploads: UploadId[] = [];
  let succeeded = 0;
  const send = (id: string, [operation, args]: Mutation, acknowledgement: 'durable' | 'visible', caller: Caller | undefined): void => {
    const context = { requestId: requestId(id), actor: 'load', acknowledgement, caller };
    const answer = engine.mutate(operation as 'mkdir', args as MutationOperations['mkdir']['args'], context).then(
      ({ version, result }) => {
        succeeded += 1;
        if (operation === 'open-session') sessions.push((result as unknown as MutationOperations['open-session']['result']).session);
        if (operation === 'begin-upload') uploads.push((result as unknown as MutationOperations['begin-upload']['result']).upload);
        if (operation === 'snapshot-create') pins.push((result as unknown as MutationOperations['snapshot-create']['result']).pin.id);
        onAcknowledged?.(id, version);
      },
      (error: unknown) => {
        if (!isNokvError(error) || error.code === 'internal') throw error;
      },
    );
    underWay.push(answer);
  };
  for (let step = 0; step < steps; step++) {
    const kind = draw(8);
    const mutation =
      kind === 0
        ? drawHeld(draw, sessions)
        : kind === 1
          ? drawPast(draw, pins)
          : kind === 2
            ? drawTransaction(draw)
            : kind === 3
              ? drawStaged(draw, uploads)
              : drawMutation(draw);
    const id = `s${seed}-${step}`;
    if (draw(10) === 0) {
      const context = {
        requestId: requestId(`${id}-b`),
        actor: 'load',
        acknowledgement: 'durable',
        caller: CALLERS[draw(CALLERS.length)],
      } as const;
      underWay.push(engine.mutateMany(drawListed(draw, 1 + draw(4)), context).then(refuseInternal, ignoreOurs));
    }
    // Most act for nobody; some for a user who may not do it.
    const caller = draw(5) === 0 ? CALLERS[draw(CALLERS.length)] : undefined;
    send(id, mutation, draw(4) === 0 ? 'visible' : 'durable', caller);
    if (draw(10) === 0) send(id, mutation, 'durable', caller);
    if (draw(5) === 0) clock.ms += draw(3000);
    if (draw(12) === 0) underWay.push(engine.maintain(() => Promise.resolve()).catch(ignoreOurs));
    const [from, to] = [uploads[uploads.length - 1 - draw(6)], uploads[uploads.length - 1 - draw(2)]];
    const isLast = draw(2) === 0;
    if (draw(10) === 0 && from !== undefined && to !== undefined) underWay.push(moveTogether(engine, from, to, isLast).catch(ignoreOurs));
    if (draw(20) === 0) {
      const strays = Array.from({ length: 1 + draw(3) }, () => ({ upload: strayOf(draw), dueMs: clock.ms + draw(2000) }));
      underWay.push(engine.adoptStrays(strays).catch(ignoreOurs));
    }
    // A listing makes directories of forks take over entries.
    if (draw(8) === 0) {
      const list = { node: at(`/${'abcd'[draw(4)]}`), limit: 1 + draw(5), attributes: true };
      underWay.push(
        Promise.resolve()
          .then(() => engine.read('list', list, { visible: draw(2) === 0 }))
          .catch(ignoreOurs),
      );
    }
    if (draw(6) === 0) await Promise.all(underWay.splice(0));
    else if (draw(3) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(underWay);
  return succeeded;
}

/** Few enough that some are found twice. */
function strayOf(draw: (below: number) => number): UploadId {
  return makeUploadId(1_800_000_000_000, Buffer.alloc(ID_RANDOM_BYTES, draw(8)));
}

function refuseInternal(answers: readonly BatchAnswer[]): void {
  for (const answer of answers) if (!answer.ok && answer.error.code === 'internal') throw answer.error;
}

function ignoreOurs(error: unknown): void {
  if (!isNokvError(error)) throw error;
}
