/** Requests of the simulated callers: what the shard is asked, and the same on a plain filesystem. */
import type { ModelFilesystem } from '@nokv/meta/testing';
import {
  parsePath,
  type At,
  type Body,
  type InodeNumber,
  type ListedMutation,
  type LockArgs,
  type MutationOperation,
  type MutationOperations,
  type PinId,
  type Piece,
  type SessionId,
  type UploadId,
} from '@nokv/types';
import type { SeededRandom } from './seeded-random.js';

export interface SimMutation<Op extends MutationOperation = MutationOperation> {
  readonly text: string;
  readonly operation: Op;
  readonly args: MutationOperations[Op]['args'];
  readonly model: (model: ModelFilesystem, version: number) => string | undefined;
  /** Refusals for reasons that the plain filesystem knows nothing of. */
  readonly mayRefuse: readonly string[];
}

const OWNER = { uid: 1000, gid: 1000 } as const;
const NAMES = ['a', 'b', 'c'] as const;

export function at(path: string): { readonly path: Uint8Array } {
  return { path: parsePath(path) };
}

export function drawPath(random: SeededRandom): string {
  const depth = 1 + random.below(3);
  return Array.from({ length: depth }, () => `/${random.pick(NAMES)}`).join('');
}

/** How often each kind of request is drawn; each seed has its own taste. */
export type Taste = ReadonlyMap<string, number>;

const TRANSACTION = 'transact';

type Draw = (random: SeededRandom, tag: string) => SimMutation;

const KINDS: Readonly<Record<string, Draw>> = {
  mkdir: (random) => mkdir(drawPath(random), random.chance(0.3)),
  create: (random) => {
    const path = drawPath(random);
    return mutation('create', `create ${path}`, { entry: at(path), type: 'file', exclusive: true, mode: 0o644, ...OWNER }, (model) =>
      model.create(path),
    );
  },
  put: (random, tag) => put(drawPath(random), random.chance(0.8) ? { kind: 'inline', bytes: Buffer.from(tag) } : EMPTY_BODY, tag),
  symlink: (random) => {
    const path = drawPath(random);
    const target = drawPath(random);
    const args = { entry: at(path), target: Buffer.from(target), ...OWNER };
    return mutation('symlink', `symlink ${path} -> ${target}`, args, (model) => model.symlink(path, target));
  },
  link: (random) => {
    const from = drawPath(random);
    const to = drawPath(random);
    return mutation('link', `link ${from} ${to}`, { node: at(from), entry: at(to) }, (model) => model.link(from, to));
  },
  unlink: (random) => {
    const path = drawPath(random);
    return mutation('unlink', `unlink ${path}`, { entry: at(path) }, (model) => model.unlink(path));
  },
  rmdir: (random) => {
    const path = drawPath(random);
    return mutation('rmdir', `rmdir ${path}`, { entry: at(path) }, (model) => model.rmdir(path));
  },
  'remove-tree': (random) => {
    const path = drawPath(random);
    return mutation('remove-tree', `rm -r ${path}`, { entry: at(path) }, (model) => model.removeTree(path));
  },
  rename: (random) => {
    const from = drawPath(random);
    const to = drawPath(random);
    const mode = random.pick(['replace', 'replace', 'no-replace', 'exchange'] as const);
    return mutation('rename', `rename ${mode} ${from} ${to}`, { from: at(from), to: at(to), mode }, (model) =>
      model.rename(from, to, mode),
    );
  },
  chmod: (random) => {
    const path = drawPath(random);
    const mode = random.below(0o1000);
    return mutation('setattr', `chmod ${mode.toString(8)} ${path}`, { node: at(path), mode }, (model) => model.chmod(path, mode));
  },
  truncate: (random) => {
    const path = drawPath(random);
    const size = random.below(24);
    return mutation('setattr', `truncate ${path} ${size}`, { node: at(path), size }, (model, version) =>
      model.truncate(path, size, version),
    );
  },
  'xattr-set': (random, tag) => {
    const path = drawPath(random);
    const name = random.pick(['user.x', 'user.y']);
    const mode = random.pick(['set', 'create', 'replace'] as const);
    const args = { node: at(path), name: Buffer.from(name), value: Buffer.from(tag), mode };
    return mutation('xattr-set', `xattr ${mode} ${path} ${name}`, args, (model) => model.setXattr(path, name, tag, mode));
  },
  'xattr-remove': (random) => {
    const path = drawPath(random);
    const name = random.pick(['user.x', 'user.y']);
    return mutation('xattr-remove', `xattr remove ${path} ${name}`, { node: at(path), name: Buffer.from(name) }, (model) =>
      model.removeXattr(path, name),
    );
  },
};

/** Several requests of other kinds as one: all of them or none. */
function drawTransaction(random: SeededRandom, tag: string): SimMutation {
  const parts = Array.from({ length: 2 + random.below(2) }, (_, i) => (random.pick(Object.values(KINDS)) as Draw)(random, `${tag}/${i}`));
  const operations = parts.map(({ operation, args }) => ({ operation, args }) as ListedMutation);
  return mutation('transact', `transact [${parts.map(({ text }) => text).join('; ')}]`, { operations }, (model, version) => {
    const tried = model.clone();
    for (const part of parts) {
      const refusal = part.model(tried, version);
      if (refusal !== undefined) return refusal;
    }
    for (const part of parts) part.model(model, version);
    return undefined;
  });
}

const EMPTY_BODY: Body = { kind: 'inline', bytes: new Uint8Array(0) };

export function drawTaste(random: SeededRandom): Taste {
  return new Map([...Object.keys(KINDS), TRANSACTION].map((kind) => [kind, 0.2 + random.float() * (random.chance(0.2) ? 6 : 1.5)]));
}

/** A copy of what lies at a place, now or at a snapshot of the whole namespace. */
export function clone(from: string, to: string, past?: HeldSnapshot): SimMutation<'clone'> {
  const args = { from: at(from), to: at(to), ...OWNER, ...momentOf(past) };
  const cloned = mutation('clone', `clone ${from}${past === undefined ? '' : `@${past.id}`} ${to}`, args, (model) =>
    model.copy(from, to, past?.model),
  );
  return { ...cloned, mayRefuse: past === undefined ? [] : ['snapshot-expired', 'not-found'] };
}

export function rollback(path: string, past: HeldSnapshot): SimMutation<'rollback'> {
  const args = { node: at(path), at: { snapshot: past.id }, undoTtlMs: 1000 };
  const rolled = mutation('rollback', `rollback ${path}@${past.id}`, args, (model) => model.rollback(path, past.model));
  return { ...rolled, mayRefuse: ['snapshot-expired', 'not-found'] };
}

export function createSnapshot(path: string): SimMutation<'snapshot-create'> {
  return mutation('snapshot-create', `snapshot ${path}`, { node: at(path), ttlMs: SNAPSHOT_TTL_MS }, (model) => model.lookup(path));
}

export function retireSnapshot({ id }: HeldSnapshot): SimMutation<'snapshot-retire'> {
  const retired = mutation('snapshot-retire', `retire ${id}`, { snapshot: id }, () => undefined);
  return { ...retired, mayRefuse: ['snapshot-expired', 'not-found'] };
}

/** What a snapshot must show as long as it is there. */
export interface HeldSnapshot {
  readonly id: PinId;
  readonly path: string;
  readonly model: ModelFilesystem;
}

function momentOf(past: HeldSnapshot | undefined): { readonly at?: At } {
  return past === undefined ? {} : { at: { snapshot: past.id } };
}

/** Longer than a simulation lasts. */
const SNAPSHOT_TTL_MS = 365 * 24 * 3600 * 1000;

/** A request of one step. `tag` is unique, so that bodies and attributes say who wrote them. */
export function drawMutation(random: SeededRandom, taste: Taste, tag: string): SimMutation {
  const { kind } = random.weighted([...taste].map(([name, weight]) => ({ kind: name, weight })));
  const draw = kind === TRANSACTION ? drawTransaction : KINDS[kind];
  if (draw === undefined) throw new Error(`no such kind of request: ${kind}`);
  return draw(random, tag);
}

export function mkdir(path: string, parents: boolean): SimMutation {
  return mutation('mkdir', `mkdir ${path}${parents ? ' -p' : ''}`, { entry: at(path), mode: 0o755, parents, ...OWNER }, (model) =>
    model.mkdir(path, parents),
  );
}

export function put(path: string, body: Body, text: string, ifGeneration?: number): SimMutation<'publish'> {
  const args = {
    node: at(path),
    body,
    mode: 0o644,
    ...OWNER,
    ...(ifGeneration === undefined ? {} : { ifGeneration: ifGeneration as never }),
  };
  const shown = body.kind === 'inline' ? Buffer.from(body.bytes).toString() : text;
  const precondition = ifGeneration === undefined ? {} : { ifGeneration };
  const words = ifGeneration === undefined ? '' : ` if ${ifGeneration}`;
  return mutation('publish', `put ${path} ${JSON.stringify(shown)}${words}`, args, (model, version) =>
    model.put(path, shown, { generation: version, ...precondition }),
  );
}

/** A body whose pieces are blocks of an upload. */
export function putBlocks(path: string, upload: UploadId, blocks: readonly string[], endUpload: boolean): SimMutation<'publish'> {
  const extents = blocks.map((block, index): Piece => ({
    upload,
    index,
    offset: 0,
    length: block.length,
    crc32c: 0,
    skip: 0,
    take: block.length,
  }));
  const text = blocks.join('');
  const plain = put(path, { kind: 'blocks', manifest: { size: text.length, extents } }, text);
  return { ...plain, args: { ...plain.args, upload, endUpload }, mayRefuse: ['bad-upload', 'no-upload'] };
}

/** A body that another inode has or had, under another name. */
export function copyOf(path: string, body: Body, base: InodeNumber, text: string): SimMutation<'publish'> {
  const plain = put(path, body, text);
  return { ...plain, text: `${plain.text} (copy)`, args: { ...plain.args, base }, mayRefuse: ['bad-upload'] };
}

export function beginUpload(ttlMs: number): SimMutation<'begin-upload'> {
  return mutation('begin-upload', `begin upload for ${ttlMs} ms`, { target: '', ttlMs }, () => undefined);
}

export function endUpload(upload: UploadId): SimMutation<'end-upload'> {
  return mutation('end-upload', `end upload ${upload.slice(-4)}`, { upload }, () => undefined);
}

/** What paths lead to and who holds it decide; a plain filesystem knows nothing of sessions. */
const HELD_REFUSALS = ['not-found', 'not-directory', 'is-directory', 'symlink-loop', 'no-session', 'lock-conflict'] as const;

export function openSession(ttlMs: number): SimMutation<'open-session'> {
  return mutation('open-session', `open session for ${ttlMs} ms`, { name: '', ttlMs }, () => undefined);
}

export function openHandle(path: string, session: SessionId): SimMutation<'open-handle'> {
  return held('open-handle', `open ${path}`, { node: at(path), session });
}

export function lock(path: string, session: SessionId, range: Pick<LockArgs, 'start' | 'end' | 'type'>): SimMutation<'lock'> {
  const text = `lock ${path} ${range.type} ${range.start}-${range.end}`;
  return held('lock', text, { node: at(path), session, owner: 1, kind: 'range', ...range });
}

export function closeHandle(ino: InodeNumber, session: SessionId): SimMutation<'close-handle'> {
  return held('close-handle', `close ${ino}`, { ino, session });
}

export function closeSession(session: SessionId): SimMutation<'close-session'> {
  return held('close-session', `close session ${session.slice(-4)}`, { session });
}

function held<Op extends MutationOperation>(operation: Op, text: string, args: MutationOperations[Op]['args']): SimMutation<Op> {
  return { ...mutation(operation, text, args, () => undefined), mayRefuse: HELD_REFUSALS };
}

export function mutation<Op extends MutationOperation>(
  operation: Op,
  text: string,
  args: MutationOperations[Op]['args'],
  model: SimMutation['model'],
): SimMutation<Op> {
  return { operation, text, args, model, mayRefuse: [] };
}
