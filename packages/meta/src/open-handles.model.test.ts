/** Random names, handles, locks and sessions against a table of who leads to what: an inode is there exactly as long as something does. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNokvError, type InodeNumber, type SessionId } from '@nokv/types';
import { contradictions } from './testing/check-rows.js';
import { TestShard, at, inline, OWNER } from './testing/test-shard.js';
import { lock, openSession } from './testing/test-sessions.js';

const PATHS = ['/a', '/b', '/d/a', '/d/b'] as const;
const SESSIONS = 3;
const TTL_MS = 10_000;

type Step =
  | { readonly do: 'put' | 'unlink' | 'open'; readonly path: string; readonly session: number }
  | { readonly do: 'rename' | 'link'; readonly path: string; readonly to: string }
  | { readonly do: 'close' | 'lock' | 'write'; readonly session: number; readonly pick: number }
  | { readonly do: 'end'; readonly session: number }
  | { readonly do: 'expire' | 'maintain' | 'remove-tree' };

const path = fc.constantFrom(...PATHS);
const session = fc.nat(SESSIONS - 1);
const pick = fc.nat(7);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('put' as const, 'unlink' as const, 'open' as const, 'open' as const), path, session }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('rename' as const, 'link' as const), path, to: path }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('close' as const, 'lock' as const, 'write' as const), session, pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), session }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('expire' as const, 'maintain' as const, 'remove-tree' as const) }) },
);

/** The engine beside the table. */
class Run {
  readonly shard: TestShard;
  readonly sessions: SessionId[] = [];
  /** Names to inodes, and open handles of each session by inode. */
  names = new Map<string, InodeNumber>();
  readonly opens: Map<InodeNumber, number>[] = [];
  /** Every inode that there ever was. */
  readonly known = new Set<InodeNumber>();

  constructor(shard: TestShard) {
    this.shard = shard;
  }

  async fresh(index: number): Promise<void> {
    this.shard.clock.ms += 1;
    this.sessions[index] = await openSession(this.shard, TTL_MS);
    this.opens[index] = new Map();
  }

  get living(): Set<InodeNumber> {
    return new Set([...this.names.values(), ...this.opens.flatMap((opens) => [...opens.keys()])]);
  }

  opened(index: number, choice: number): InodeNumber | undefined {
    const inodes = [...(this.opens[index] as Map<InodeNumber, number>).keys()];
    return inodes[choice % Math.max(1, inodes.length)];
  }

  async apply(s: Step): Promise<void> {
    const { shard, names } = this;
    switch (s.do) {
      case 'put': {
        const { result } = await shard.put(s.path, s.path, { parents: true });
        names.set(s.path, result.attributes.ino);
        this.known.add(result.attributes.ino);
        return;
      }
      case 'unlink':
        if (!names.delete(s.path)) return;
        await shard.do('unlink', { entry: at(s.path) });
        return;
      case 'open': {
        const ino = names.get(s.path);
        if (ino === undefined) return;
        await shard.do('open-handle', { node: at(s.path), session: this.sessions[s.session] as SessionId });
        const opens = this.opens[s.session] as Map<InodeNumber, number>;
        opens.set(ino, (opens.get(ino) ?? 0) + 1);
        return;
      }
      case 'rename':
      case 'link': {
        const ino = names.get(s.path);
        if (ino === undefined || !names.has('/d/a') || !names.has('/d/b')) return;
        if (s.do === 'rename') {
          await shard.do('rename', { from: at(s.path), to: at(s.to), mode: 'replace' });
          // Two names of one inode: nothing moves.
          if (names.get(s.to) === ino) return;
          names.set(s.to, ino);
          names.delete(s.path);
        } else if (!names.has(s.to)) {
          await shard.do('link', { node: at(s.path), entry: at(s.to) });
          names.set(s.to, ino);
        }
        return;
      }
      case 'close': {
        const ino = this.opened(s.session, s.pick);
        if (ino === undefined) return;
        const opens = this.opens[s.session] as Map<InodeNumber, number>;
        const left = (opens.get(ino) ?? 0) - 1;
        if (left === 0) opens.delete(ino);
        else opens.set(ino, left);
        const { result } = await shard.do('close-handle', { ino, session: this.sessions[s.session] as SessionId });
        expect(result.removed).toBe(!this.living.has(ino));
        return;
      }
      case 'lock': {
        const ino = this.opened(s.session, s.pick);
        if (ino !== undefined)
          await lock(shard, ino, { session: this.sessions[s.session] as SessionId, type: 'shared', start: s.pick, end: s.pick + 3 });
        return;
      }
      case 'write': {
        const ino = this.opened(s.session, s.pick);
        if (ino !== undefined) await shard.do('publish', { node: { ino }, body: inline(`${s.pick}`), mode: 0o644, ...OWNER });
        return;
      }
      case 'end':
        await shard.do('close-session', { session: this.sessions[s.session] as SessionId });
        return this.fresh(s.session);
      case 'expire':
        shard.clock.ms += TTL_MS;
        await shard.maintain();
        for (let i = 0; i < SESSIONS; i++) await this.fresh(i);
        return;
      case 'maintain':
        await shard.maintain();
        return;
      case 'remove-tree':
        if (![...names.keys()].some((name) => name.startsWith('/d/'))) return;
        await shard.do('remove-tree', { entry: at('/d') });
        await shard.maintain();
        for (const name of names.keys()) if (name.startsWith('/d/')) names.delete(name);
        return;
    }
  }

  async check(): Promise<void> {
    const { living } = this;
    for (const ino of this.known) {
      const links = [...this.names.values()].filter((named) => named === ino).length;
      const found = await this.shard.read('getattr', { ino }).then(
        ({ nlink }) => nlink,
        (error: unknown) => (isNokvError(error, 'not-found') ? undefined : Promise.reject(error)),
      );
      expect(found).toBe(living.has(ino) ? links : undefined);
    }
  }
}

test('an inode is there exactly as long as a name or a handle leads to it', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const run = new Run(await TestShard.open());
      for (let i = 0; i < SESSIONS; i++) await run.fresh(i);
      for (const s of steps) {
        await run.apply(s);
        await run.check();
      }
      expect(contradictions(run.shard.kv)).toEqual([]);
      run.shard.clock.ms += TTL_MS;
      await run.shard.maintain();
      expect((await run.shard.read('statfs', {})).inodesUsed).toBe(
        new Set(run.names.values()).size + ((await exists(run.shard, '/d')) ? 1 : 0),
      );
      expect(contradictions(run.shard.kv)).toEqual([]);
      await run.shard.engine.close();
    }),
    { numRuns: 150 },
  );
});

const exists = (shard: TestShard, where: string): Promise<boolean> =>
  shard.stat(where).then(
    () => true,
    () => false,
  );
