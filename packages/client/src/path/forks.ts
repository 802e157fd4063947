/** Bringing the past back: clones, merges, rollbacks, reverts, undeletes. No bytes are copied by any of them. */
import type { Generation } from '@nokv/types';
import { SNAPSHOT_TTL_MS_DEFAULT, formatName, generation } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type {
  AtLike,
  CloneOptions,
  MergeOptions,
  MergeOutcome,
  RevertOptions,
  RevertOutcome,
  RollbackOptions,
  RollbackOutcome,
  UndeleteOptions,
} from '../history.js';
import type { NodeOutcome, PathLike } from '../nokv-client.js';
import { expectedGeneration, pathBytes } from './arguments.js';
import type { Commits } from './commits.js';
import { atArgument, momentOf } from './moment.js';
import { shownPin } from './pins.js';

export class Forks {
  readonly #context: ClientContext;
  readonly #commits: Commits;

  constructor(context: ClientContext, commits: Commits) {
    this.#context = context;
    this.#commits = commits;
  }

  clone(from: PathLike, to: PathLike, options: CloneOptions): Promise<NodeOutcome> {
    const { parents } = options;
    return this.#commits.run(options, async (call) => {
      const args = {
        from: { path: pathBytes(from) },
        ...atArgument(options),
        to: { path: pathBytes(to) },
        ...(parents === undefined ? {} : { parents }),
        ...this.#commits.owner(options),
      };
      const { version, result } = await this.#context.metadata.mutate('clone', args, call);
      return { version, attributes: result.attributes };
    });
  }

  merge(fork: PathLike, options: MergeOptions): Promise<MergeOutcome> {
    const { into, dryRun } = options;
    return this.#commits.run(options, async (call) => {
      const args = {
        fork: { path: pathBytes(fork) },
        ...(into === undefined ? {} : { into: { path: pathBytes(into) } }),
        ...(dryRun === undefined ? {} : { dryRun }),
      };
      const { version, result } = await this.#context.metadata.mutate('merge', args, call);
      const conflicts = result.conflicts.map(({ path, ...rest }) => ({ ...rest, path: formatName(path), pathBytes: path }));
      return { version, applied: result.applied, changes: result.changes, conflicts, conflictCount: result.conflictCount };
    });
  }

  rollback(path: PathLike, at: AtLike, options: RollbackOptions): Promise<RollbackOutcome> {
    const { undoTtlMs = SNAPSHOT_TTL_MS_DEFAULT } = options;
    return this.#commits.run(options, async (call) => {
      const args = { node: { path: pathBytes(path) }, at: momentOf(at), undoTtlMs };
      const { version, result } = await this.#context.metadata.mutate('rollback', args, call);
      return { version, attributes: result.attributes, undo: shownPin(result.undo), restored: result.restored };
    });
  }

  revert(path: PathLike, to: Generation | number, options: RevertOptions): Promise<RevertOutcome> {
    const ifGeneration = expectedGeneration(options.ifGeneration);
    return this.#commits.run(options, async (call) => {
      const args = {
        node: { path: pathBytes(path) },
        generation: generation(to),
        ...(ifGeneration === undefined ? {} : { ifGeneration }),
      };
      const { version, result } = await this.#context.metadata.mutate('revert', args, call);
      return { version, attributes: result.attributes, generation: result.generation };
    });
  }

  undelete(path: PathLike, options: UndeleteOptions): Promise<NodeOutcome> {
    const { to } = options;
    return this.#commits.run(options, async (call) => {
      const args = {
        entry: { path: pathBytes(path) },
        ...atArgument(options),
        ...(to === undefined ? {} : { to: { path: pathBytes(to) } }),
        ...this.#commits.owner(options),
      };
      const { version, result } = await this.#context.metadata.mutate('undelete', args, call);
      return { version, attributes: result.attributes };
    });
  }
}
