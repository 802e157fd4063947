import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatName,
  isNokvError,
  type At,
  type InodeNumber,
  type ListedMutation,
  type MutationOperation,
  type MutationOperations,
  type PinId,
} from '@nokv/types';
import { FAMILY } from './key.js';
import { MemoryKv } from './memory-kv.js';
import { contradictions, historyOf } from './testing/check-rows.js';
import { ModelFilesystem, type ModelNode } from './testing/model-filesystem.js';
import { OWNER, TestShard, at, inline } from './testing/test-shard.js';

/** One operation: what the engine is asked, and the same on the model. */
interface Step {
  readonly text: string;
  readonly operation: MutationOperation;
  readonly args: MutationOperations[MutationOperation]['args'];
  readonly model: (model: ModelFilesystem) => string | undefined;
  /** Left out where there is much already. */
  readonly grows?: boolean;
}

/** Copies of copies would soon fill the memory. */
const NODES_MAX = 80;

const name = fc.constantFrom('a', 'b', 'c');
const path = fc
  .oneof({ arbitrary: fc.constant(1), weight: 2 }, { arbitrary: fc.constant(2), weight: 4 }, { arbitrary: fc.constant(3), weight: 3 })
  .chain((depth) => fc.array(name, { minLength: depth, maxLength: depth }))
  .map((names) => `/${names.join('/')}`);
const xattrName = fc.constantFrom('user.a', 'user.b');
const owned = { mode: 0o755, ...OWNER };

const making: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ path, parents: fc.boolean() }).map((s): Step => ({
    text: `mkdir ${s.path}${s.parents ? ' -p' : ''}`,
    operation: 'mkdir',
    args: { entry: at(s.path), parents: s.parents, ...owned },
    model: (model) => model.mkdir(s.path, s.parents),
  })),
  path.map((p): Step => ({
    text: `create ${p}`,
    operation: 'create',
    args: { entry: at(p), type: 'file', exclusive: true, ...OWNER, mode: 0o644 },
    model: (model) => model.create(p),
  })),
  fc.record({ path, text: fc.string({ maxLength: 5, unit: 'grapheme-ascii' }) }).map((s): Step => ({
    text: `put ${s.path} ${s.text}`,
    operation: 'publish',
    args: { node: at(s.path), body: inline(s.text), ...OWNER, mode: 0o644 },
    model: (model) => model.put(s.path, s.text),
  })),
);

/** Trees grow more often than they are taken apart, so that there is something to work on. */
const single: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: making, weight: 14 },
  fc.record({ path, target: path }).map((s): Step => ({
    text: `symlink ${s.path} -> ${s.target}`,
    operation: 'symlink',
    args: { entry: at(s.path), target: Buffer.from(s.target), ...OWNER },
    model: (model) => model.symlink(s.path, s.target),
  })),
  fc.record({ from: path, to: path }).map((s): Step => ({
    text: `link ${s.from} ${s.to}`,
    operation: 'link',
    args: { node: at(s.from), entry: at(s.to) },
    model: (model) => model.link(s.from, s.to),
  })),
  path.map((p): Step => ({ text: `unlink ${p}`, operation: 'unlink', args: { entry: at(p) }, model: (model) => model.unlink(p) })),
  path.map((p): Step => ({ text: `rmdir ${p}`, operation: 'rmdir', args: { entry: at(p) }, model: (model) => model.rmdir(p) })),
  path.map((p): Step => ({ text: `rm -r ${p}`, operation: 'remove-tree', args: { entry: at(p) }, model: (model) => model.removeTree(p) })),
  fc
    .record({ from: path, to: path, mode: fc.constantFrom('replace' as const, 'no-replace' as const, 'exchange' as const) })
    .map((s): Step => ({
      text: `rename ${s.mode} ${s.from} ${s.to}`,
      operation: 'rename',
      args: { from: at(s.from), to: at(s.to), mode: s.mode },
      model: (model) => model.rename(s.from, s.to, s.mode),
    })),
  fc.record({ path, mode: fc.integer({ min: 0, max: 0o777 }) }).map((s): Step => ({
    text: `chmod ${s.mode.toString(8)} ${s.path}`,
    operation: 'setattr',
    args: { node: at(s.path), mode: s.mode },
    model: (model) => model.chmod(s.path, s.mode),
  })),
  fc.record({ path, size: fc.integer({ min: 0, max: 8 }) }).map((s): Step => ({
    text: `truncate ${s.path} ${s.size}`,
    operation: 'setattr',
    args: { node: at(s.path), size: s.size },
    model: (model) => model.truncate(s.path, s.size),
  })),
  fc
    .record({
      path,
      name: xattrName,
      value: fc.string({ maxLength: 3 }),
      mode: fc.constantFrom('set' as const, 'create' as const, 'replace' as const),
    })
    .map((s): Step => ({
      text: `xattr ${s.mode} ${s.path} ${s.name}=${s.value}`,
      operation: 'xattr-set',
      args: { node: at(s.path), name: Buffer.from(s.name), value: Buffer.from(s.value), mode: s.mode },
      model: (model) => model.setXattr(s.path, s.name, s.value, s.mode),
    })),
  fc.record({ from: path, to: path }).map((s): Step => ({
    text: `clone ${s.from} ${s.to}`,
    operation: 'clone',
    args: { from: at(s.from), to: at(s.to), ...OWNER },
    model: (model) => model.copy(s.from, s.to),
    grows: true,
  })),
  fc.record({ path, name: xattrName }).map((s): Step => ({
    text: `xattr remove ${s.path} ${s.name}`,
    operation: 'xattr-remove',
    args: { node: at(s.path), name: Buffer.from(s.name) },
    model: (model) => model.removeXattr(s.path, s.name),
  })),
);

/** Several as one: all of them or none. */
const transaction = fc.array(single, { minLength: 2, maxLength: 3 }).map((parts): Step => ({
  text: `[${parts.map(({ text }) => text).join('; ')}]`,
  operation: 'transact',
  args: { operations: parts.filter(({ grows }) => grows !== true).map(({ operation, args }) => ({ operation, args }) as ListedMutation) },
  model: (model) => {
    const listed = parts.filter(({ grows }) => grows !== true);
    const tried = model.clone();
    for (const part of listed) {
      const refusal = part.model(tried);
      if (refusal !== undefined) return refusal;
    }
    for (const part of listed) part.model(model);
    return undefined;
  },
}));

const step: fc.Arbitrary<Step> = fc.oneof({ arbitrary: single, weight: 14 }, { arbitrary: transaction, weight: 1 });

/** The namespace as plain data, through the read operations. */
async function tree(shard: TestShard, where = '/', moment: { readonly at?: At } = {}): Promise<unknown> {
  const card = await shard.read('stat', { node: at(where), follow: false, ...moment });
  const xattrs: Record<string, string> = {};
  for (const each of card.type === 'symlink' ? [] : card.xattrs) {
    xattrs[formatName(each)] = Buffer.from(
      (await shard.read('xattr-get', { node: { ino: card.ino }, name: each, ...moment })).value,
    ).toString();
  }
  switch (card.type) {
    case 'directory': {
      const { entries } = await shard.read('list', { node: at(where), limit: 100, attributes: true, ...moment });
      const children: Record<string, unknown> = {};
      for (const entry of entries) {
        const child = `${where === '/' ? '' : where}/${formatName(entry.name)}`;
        expect(entry.attributes).toMatchObject(await shard.read('getattr', { ino: entry.ino, ...moment }));
        const found = formatName((await shard.read('path-of', { ino: entry.ino, ...moment })).path);
        if (entry.type === 'directory' || entry.attributes?.nlink === 1) expect(found).toBe(child);
        children[formatName(entry.name)] = await tree(shard, child, moment);
      }
      expect(card.children).toBe(entries.length);
      return { mode: card.mode, xattrs, children };
    }
    case 'symlink':
      return { nlink: card.nlink, target: formatName(card.target ?? new Uint8Array(0)) };
    default:
      return { mode: card.mode, xattrs, nlink: card.nlink, text: await textOf(shard, card.ino, moment), size: card.size };
  }
}

async function textOf(shard: TestShard, ino: InodeNumber, moment: { readonly at?: At }): Promise<string> {
  const { body } = await shard.read('open-read', { node: { ino }, ...moment });
  return body.kind === 'inline' ? Buffer.from(body.bytes).toString() : '(blocks)';
}

function modelTree(node: ModelNode): unknown {
  switch (node.type) {
    case 'directory':
      return {
        mode: node.mode,
        xattrs: Object.fromEntries(node.xattrs),
        children: Object.fromEntries([...node.entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([n, c]) => [n, modelTree(c)])),
      };
    case 'symlink':
      return { nlink: node.nlink, target: node.target };
    case 'file':
      return { mode: node.mode, xattrs: Object.fromEntries(node.xattrs), nlink: node.nlink, text: node.text, size: node.text.length };
  }
}

function withoutLinks(nodes: unknown): unknown {
  return JSON.parse(JSON.stringify(nodes, (key, value: unknown) => (key === 'nlink' ? undefined : value)));
}

async function codeOf(answer: Promise<unknown>): Promise<string | undefined> {
  try {
    await answer;
    return undefined;
  } catch (error) {
    if (isNokvError(error)) return error.code;
    throw error;
  }
}

/** 50 runs of 2,000 operations in the normal set, 500 in the long one. */
const RUNS = process.env['NOKV_TEST_LONG'] === '1' ? 500 : 50;
const CHUNKS = 40;
const CHUNK_STEPS = 50;

/** What is done with the past between two chunks. */
type HistoryAct =
  | { readonly kind: 'snapshot'; readonly path: string }
  | { readonly kind: 'retire'; readonly which: number }
  | { readonly kind: 'clone'; readonly which: number; readonly from: string; readonly to: string }
  | { readonly kind: 'rollback'; readonly which: number; readonly path: string };

interface Chunk {
  /** All in one tick, so that they share batches; else one by one, each in a batch of its own. */
  readonly together: boolean;
  readonly steps: readonly Step[];
  /** Background work after it: the trash is taken apart, links in it count no more. */
  readonly maintains: boolean;
  readonly acts: readonly HistoryAct[];
}

const which = fc.nat({ max: 7 });
const short = name.map((one) => `/${one}`);
const act: fc.Arbitrary<HistoryAct> = fc.oneof(
  fc.record({
    kind: fc.constant('snapshot' as const),
    path: fc.oneof({ arbitrary: fc.constant('/'), weight: 3 }, { arbitrary: path, weight: 2 }),
  }),
  fc.record({ kind: fc.constant('retire' as const), which }),
  fc.record({ kind: fc.constant('clone' as const), which, from: short, to: path }),
  fc.record({ kind: fc.constant('rollback' as const), which, path: short }),
);

const chunk: fc.Arbitrary<Chunk> = fc.record({
  together: fc.boolean(),
  steps: fc.array(step, { minLength: CHUNK_STEPS, maxLength: CHUNK_STEPS }),
  maintains: fc.boolean(),
  acts: fc.array(act, { maxLength: 5 }),
});

/** Operations that took effect: refusals alone would show little. */
const tally = { done: 0, reordered: 0, snapshots: 0, clonesOfThePast: 0, rollbacks: 0 };

interface Held {
  readonly snapshot: PinId;
  readonly path: string;
  readonly model: ModelFilesystem;
}

const SNAPSHOTS_MAX = 4;

/** One sequence: the shard, the plain filesystem, and what snapshots hold of both. */
class Run {
  readonly shard: TestShard;
  model = new ModelFilesystem();
  hadForks = false;
  readonly held: Held[] = [];

  constructor(shard: TestShard) {
    this.shard = shard;
  }

  async chunk({ together, steps, maintains, acts }: Chunk): Promise<void> {
    if (together) await this.together(steps);
    else await this.oneByOne(steps);
    for (const one of acts) await this.act(one);
    if (maintains) {
      this.shard.clock.ms += 3600 * 1000;
      await this.shard.maintain();
    }
    await this.compare(maintains);
  }

  async oneByOne(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      if (one.grows === true && this.model.size > NODES_MAX) continue;
      const { code } = await this.ask(one);
      expect(`${one.text}: ${code ?? 'done'}`).toBe(`${one.text}: ${one.model(this.model) ?? 'done'}`);
      if (code === undefined) tally.done += 1;
    }
  }

  /**
   * Concurrent requests: the shard takes them in the order in which they came, but for those that look into a fork for the first time: these
   * wait until the fork has taken over what they look at. Versions tell the order then.
   */
  async together(steps: readonly Step[]): Promise<void> {
    const start = this.model.clone();
    const taken: Step[] = [];
    const expected: string[] = [];
    for (const one of steps) {
      if (one.grows === true && this.model.size > NODES_MAX) continue;
      taken.push(one);
      expected.push(`${one.text}: ${one.model(this.model) ?? 'done'}`);
    }
    const answers = await Promise.all(taken.map((one) => this.ask(one)));
    tally.done += answers.filter(({ code }) => code === undefined).length;
    const told = answers.map(({ step: { text }, code }) => `${text}: ${code ?? 'done'}`);
    if (!this.hadForks) return expect(told).toEqual(expected);
    const states = [start];
    for (const { step: one, version } of answers.filter(({ code }) => code === undefined).sort((a, b) => a.version - b.version)) {
      const next = (states.at(-1) as ModelFilesystem).clone();
      expect(`version ${version}: ${one.text}: ${one.model(next) ?? 'done'}`).toBe(`version ${version}: ${one.text}: done`);
      states.push(next);
    }
    for (const { step: one, code } of answers) {
      if (code === undefined) continue;
      const possible = new Set(states.map((state) => one.model(state.clone()) ?? 'done'));
      if (!possible.has(code)) expect(`${one.text}: ${code}`).toBe(`${one.text}: one of ${[...possible].join(', ')}`);
    }
    this.model = states.at(-1) as ModelFilesystem;
    if (told.join() !== expected.join()) tally.reordered += 1;
  }

  async ask(step: Step): Promise<{ readonly step: Step; readonly code: string | undefined; readonly version: number }> {
    if (step.grows === true) this.hadForks = true;
    try {
      const { version } = await this.shard.do(step.operation, step.args);
      return { step, code: undefined, version };
    } catch (error) {
      if (isNokvError(error)) return { step, code: error.code, version: 0 };
      throw error;
    }
  }

  async act(one: HistoryAct): Promise<void> {
    if (one.kind === 'clone' || one.kind === 'rollback') this.hadForks = true;
    const { shard, model, held } = this;
    if (one.kind === 'snapshot') {
      const { path: where } = one;
      if (held.length >= SNAPSHOTS_MAX || model.at(where) === undefined || model.at(where)?.type === 'symlink') return;
      const { pin } = (await shard.do('snapshot-create', { node: at(where), ttlMs: 365 * 24 * 3600 * 1000 })).result;
      held.push({ snapshot: pin.id, path: formatName(pin.path), model: model.clone() });
      tally.snapshots += 1;
      return;
    }
    const past = held[one.which % Math.max(1, held.length)];
    if (past === undefined) return;
    const moment: At = { snapshot: past.snapshot };
    if (one.kind === 'retire') {
      await shard.do('snapshot-retire', { snapshot: past.snapshot });
      held.splice(held.indexOf(past), 1);
    } else if (past.path === '/' && model.size <= NODES_MAX) {
      const [answer, expected] =
        one.kind === 'clone'
          ? [
              await codeOf(shard.do('clone', { from: at(one.from), at: moment, to: at(one.to), ...OWNER })),
              model.copy(one.from, one.to, past.model),
            ]
          : [await codeOf(shard.do('rollback', { node: at(one.path), at: moment, undoTtlMs: 1000 })), model.rollback(one.path, past.model)];
      expect({ one, answer }).toEqual({ one, answer: expected });
      if (answer === undefined) tally[one.kind === 'clone' ? 'clonesOfThePast' : 'rollbacks'] += 1;
    }
  }

  /** The namespace now and at one of the snapshots; links in the trash count until it is taken apart, and those of the past with them. */
  async compare(countsLinks: boolean): Promise<void> {
    const { shard, model, held } = this;
    const found = await tree(shard);
    if (countsLinks) expect(found).toEqual(modelTree(model.root));
    else expect(withoutLinks(found)).toEqual(withoutLinks(modelTree(model.root)));
    if (countsLinks) expect(contradictions(shard.kv)).toEqual([]);
    const past = held[tally.done % Math.max(1, held.length)];
    const root = past?.model.at(past.path);
    if (past === undefined || root === undefined) return;
    expect(withoutLinks(await tree(shard, past.path, { at: { snapshot: past.snapshot } }))).toEqual(withoutLinks(modelTree(root)));
  }
}

describe('random operations', () => {
  test(
    `answer as a plain filesystem does over ${RUNS * CHUNKS * CHUNK_STEPS} of them, and leave rows without contradictions`,
    {
      timeout: 60_000 + RUNS * 5000,
    },
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(chunk, { minLength: CHUNKS, maxLength: CHUNKS }), async (chunks) => {
          const window = { requestMs: 7_200_000, changeMs: 7_200_000 };
          const run = new Run(await TestShard.open(new MemoryKv(), { window, retention: { bodyMs: 7_200_000 } }));
          for (const one of chunks) await run.chunk(one);
          await run.shard.maintain();
          await run.compare(true);
        }),
        // Sequences of this length take for ever to shrink; the seed that is printed replays one.
        { numRuns: RUNS, endOnFailure: true },
      );
      console.log(`model test: ${JSON.stringify(tally)}`);
      expect(tally.done).toBeGreaterThan((RUNS * CHUNKS * CHUNK_STEPS) / 8);
      expect(Math.min(tally.snapshots, tally.clonesOfThePast, tally.rollbacks)).toBeGreaterThan(RUNS / 5);
    },
  );

  test('give the same rows however they fall into batches', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        const dumps: string[][] = [];
        for (const together of [true, false]) {
          const shard = await TestShard.open(new MemoryKv());
          if (together) await Promise.allSettled(steps.map(({ operation, args }) => shard.do(operation, args)));
          else for (const { operation, args } of steps) await shard.do(operation, args).catch(() => undefined);
          dumps.push((shard.kv as MemoryKv).dump().filter((row) => !row.startsWith('01')));
        }
        expect(dumps[0]).toEqual(dumps[1]);
      }),
      { numRuns: 30 },
    );
  });
});

describe('history', () => {
  test('holds every replaced value once, with its birth, also within one batch', async () => {
    const shard = await TestShard.open(new MemoryKv());
    const ino = await shard.create('/f');
    const born = (await shard.read('changes', { since: 0 as never, limit: 10 })).changes[0]?.version;
    const versions = (await Promise.all([1, 2, 3].map((mode) => shard.do('setattr', { node: at('/f'), mode })))).map(
      ({ version }) => version,
    );
    expect(historyOf(shard.kv, ino)).toEqual([
      { replaced: versions[0], birth: born },
      { replaced: versions[1], birth: versions[0] },
      { replaced: versions[2], birth: versions[1] },
    ]);
    const removed = await shard.do('unlink', { entry: at('/f') });
    expect(historyOf(shard.kv, ino).at(-1)).toEqual({ replaced: removed.version, birth: versions[2] });
    const again = await shard.create('/f');
    expect(again).not.toBe(ino);
    const rows = [...shard.kv.range(Uint8Array.of(FAMILY.history, FAMILY.dentry), Uint8Array.of(FAMILY.history, FAMILY.dentry + 1))];
    expect(rows).toHaveLength(1);
  });

  test('is forgotten together with the changes of its versions', async () => {
    const shard = await TestShard.open(new MemoryKv());
    for (let i = 0; i < 20; i++) await shard.put('/f', String(i));
    shard.clock.ms += 25 * 3600 * 1000;
    const recent = await shard.put('/f', 'recent');
    await shard.maintain();
    await shard.maintain();
    const rows = [...shard.kv.range(Uint8Array.of(FAMILY.history), Uint8Array.of(FAMILY.history + 1))];
    expect(rows.map(({ key }) => Buffer.from(key).readUInt32BE(key.length - 4))).toEqual([recent.version]);
    expect(await shard.text('/f')).toBe('recent');
    expect(contradictions(shard.kv)).toEqual([]);
  });
});
