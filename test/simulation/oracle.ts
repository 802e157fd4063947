/**
 * What must hold, whatever the scheduler does. It watches the commits below the engine and the answers above it, and keeps for each
 * version the state that a plain filesystem has after the same requests in the same order.
 *
 * Checked here:
 * - each request takes effect once at most, and one that was acknowledged stays, under its version, also after crashes;
 * - versions rise, and none that was shown is used again;
 * - the request of each version does on the plain filesystem what it did in the shard; answers are those of a state between
 *   their question and their reply, and durable ones rest on nothing that can still be lost;
 * - after each commit the rows do not contradict one another;
 * - no block goes that a stored body names, in any state that a crash could leave, or that a fresh read plan was told of.
 */
import { contradictions, rowsOfCommit, uploadsInBodies, type ModelFilesystem, type commandsOfSegment } from '@nokv/meta/testing';
import { ModelFilesystem as Model } from '@nokv/meta/testing';
import type { KvReader, KvWrite } from '@nokv/meta';
import type { UploadId } from '@nokv/types';
import type { KvObserver } from './sim-kv.js';
import type { SimMutation } from './operations.js';

export type WatchedChange = ReturnType<typeof rowsOfCommit>['changes'][number];

interface State {
  readonly version: number;
  readonly commit: number;
  readonly requestId: string;
  readonly model: ModelFilesystem;
}

type Check = (model: ModelFilesystem) => string | undefined;

/** Some state that was current between two versions must pass; judged once the commits up to the second are known. */
interface Expectation {
  readonly from: number;
  readonly to: number;
  readonly check: Check;
}

interface Plan {
  readonly uploads: ReadonlySet<UploadId>;
  readonly validUntilMs: number;
}

export class Oracle implements KvObserver {
  readonly violations: string[] = [];
  readonly #requests = new Map<string, SimMutation>();
  /** States by rising version; the first is the empty shard. */
  readonly #states: State[] = [{ version: 0, commit: -1, requestId: '', model: new Model() }];
  readonly #effects = new Map<string, number>();
  /** Requests whose effect is durable for good, with the version that their callers were told. */
  readonly #acknowledged = new Map<string, number>();
  readonly #changes: { readonly commit: number; readonly change: WatchedChange }[] = [];
  readonly #progress: { readonly commit: number; readonly version: number }[] = [{ commit: -1, version: 0 }];
  #expectations: Expectation[] = [];
  #plans: Plan[] = [];
  readonly #removedUploads = new Set<UploadId>();
  #versionShownMax = 0;
  /** Versions up to here were shown before something was lost. */
  #versionFloor = 0;
  #flushedCommit = -1;
  #cursorMax = 0;
  readonly #note: (line: string) => void;
  readonly #checkEvery: number;
  readonly #isShared: boolean;
  /** False while a store is being filled from an image: its rows are not all there. */
  isWhole: () => boolean = () => true;
  commits = 0;
  checks = 0;

  /** @param checkEvery after how many commits all rows are checked against one another. */
  constructor(note: (line: string) => void, checkEvery: number, isShared: boolean) {
    this.#note = note;
    this.#isShared = isShared;
    this.#checkEvery = checkEvery;
  }

  violate(what: string): void {
    this.violations.push(what);
    this.#note(`VIOLATION ${what}`);
  }

  /* ------------------------------------------------------- the store below */

  handedOver(commit: number, writes: readonly KvWrite[]): void {
    this.commits += 1;
    if (this.#isShared) return this.#stored(commit, writes);
    const { changes, strayResults, bodyUploads, progress } = rowsOfCommit(writes);
    this.#note(`  commit ${commit}: ${writes.length} rows, version ${progress?.version ?? '-'}`);
    for (const upload of bodyUploads) {
      if (this.#removedUploads.has(upload)) this.violate(`commit ${commit} stores a body of upload ${upload}, whose blocks are gone`);
    }
    for (const change of changes) {
      this.#changes.push({ commit, change });
      if (change.ordinal === 0) this.#took(commit, change.version, change.requestId);
    }
    if (strayResults > 0) this.violate(`commit ${commit} stores ${strayResults} results of requests without a change`);
    if (progress !== undefined) this.#progress.push({ commit, version: progress.version });
    this.#judge(progress?.version ?? 0);
  }

  /** With a shared log the truth is there, and stores come after it; one that recovers stores again what others did. */
  #stored(commit: number, writes: readonly KvWrite[]): void {
    const { changes, bodyUploads, progress } = rowsOfCommit(writes);
    this.#note(`  commit ${commit}: ${writes.length} rows, version ${progress?.version ?? '-'}`);
    // A store that catches up stores also what was forgotten since.
    for (const upload of this.isWhole() ? bodyUploads : []) {
      if (this.#removedUploads.has(upload)) this.violate(`commit ${commit} stores a body of upload ${upload}, whose blocks are gone`);
    }
    for (const change of changes) {
      const at = this.#changes.findLastIndex(({ change: other }) => compareChanges(other, change) <= 0);
      const known = this.#changes[at];
      if (known === undefined || compareChanges(known.change, change) !== 0) this.#changes.splice(at + 1, 0, { commit, change });
      else if (JSON.stringify(known.change) !== JSON.stringify(change)) {
        this.violate(`change ${change.version}.${change.ordinal} is another one in another store`);
      }
    }
  }

  /** A segment came to be in the shared log: what it holds is durable from now on, whoever knows. */
  appended(sequence: number, commands: ReturnType<typeof commandsOfSegment>): void {
    this.#note(`  segment ${sequence}: ${commands.length} commands`);
    for (const { version, requestId } of commands) {
      if (requestId !== undefined) this.#took(sequence, version, requestId);
      this.#progress.push({ commit: sequence, version });
    }
    this.#flushedCommit = sequence;
    this.#judge(this.#progress.at(-1)?.version ?? 0);
  }

  applied(commit: number, rows: KvReader): void {
    if (this.#isShared && !this.isWhole()) return;
    if (commit % this.#checkEvery !== 0) return;
    this.checks += 1;
    const found = contradictions(rows);
    if (found.length > 0) this.violate(`after commit ${commit} rows contradict: ${found.slice(0, 3).join('; ')}`);
  }

  flushed(commit: number): void {
    if (this.#isShared) return;
    this.#flushedCommit = Math.max(this.#flushedCommit, commit);
  }

  lost(firstCommit: number): void {
    if (this.#isShared) return;
    const isLost = ({ commit }: { readonly commit: number }): boolean => commit >= firstCommit;
    for (const { requestId } of this.#states.filter(isLost)) {
      this.#effects.delete(requestId);
      const version = this.#acknowledged.get(requestId);
      if (version !== undefined) this.violate(`${requestId} was acknowledged as durable at version ${version} and is lost`);
    }
    for (const list of [this.#states, this.#changes, this.#progress] as { readonly commit: number }[][]) {
      const at = list.findIndex(isLost);
      if (at >= 0) list.splice(at);
    }
    // What was seen of lost commits was seen in vain.
    const known = this.#progress.at(-1)?.version ?? 0;
    this.#expectations = this.#expectations.filter(({ to }) => to <= known);
    this.#versionFloor = this.#versionShownMax;
  }

  /** Versions that were visible and will never be durable: what was seen of them was seen in vain. */
  abandoned(first: number, last: number): void {
    this.#expectations = this.#expectations.filter(({ to }) => to < first || to > last);
  }

  /** A start after a crash: what was shown and not even handed over is gone as well. */
  crashed(): void {
    this.#expectations = [];
    this.#versionFloor = this.#versionShownMax;
  }

  #took(commit: number, version: number, requestId: string): void {
    const before = this.#effects.get(requestId);
    if (before !== undefined) this.violate(`${requestId} took effect twice, at versions ${before} and ${version}`);
    this.#effects.set(requestId, version);
    const last = this.#states.at(-1) as State;
    // An append of an earlier owner may come late, with versions that it showed.
    if (version <= last.version || (!this.#isShared && version <= this.#versionFloor)) {
      this.violate(`version ${version} of ${requestId} is no higher than ${Math.max(last.version, this.#versionFloor)}, which was used`);
    }
    if (version <= this.#cursorMax)
      this.violate(`version ${version} of ${requestId} comes when a watcher is at ${this.#cursorMax} already`);
    const request = this.#requests.get(requestId);
    if (request === undefined) return this.violate(`version ${version} is of request ${requestId}, which nobody sent`);
    const model = last.model.clone();
    const refusal = request.model(model, version);
    if (refusal !== undefined) this.violate(`version ${version}: ${request.text} was done, a plain filesystem says ${refusal}`);
    this.#states.push({ version, commit, requestId, model });
    this.#note(`  version ${version}: ${requestId} ${request.text}`);
  }

  /* ------------------------------------------------------ the callers above */

  sent(requestId: string, mutation: SimMutation): void {
    this.#requests.set(requestId, mutation);
  }

  acknowledged(requestId: string, version: number, isDurable: boolean): void {
    this.#versionShownMax = Math.max(this.#versionShownMax, version);
    const effect = this.#effects.get(requestId);
    if (effect !== undefined && effect !== version) this.violate(`${requestId} took effect at ${effect}, its caller was told ${version}`);
    if (!isDurable) return;
    if (effect === undefined) this.violate(`${requestId} was acknowledged as durable and is not there`);
    const before = this.#acknowledged.get(requestId);
    if (before !== undefined && before !== version) this.violate(`${requestId} was told version ${before}, then ${version}`);
    this.#acknowledged.set(requestId, version);
  }

  /** A refusal must be that of some state between the question and the answer. */
  refused(mutation: SimMutation, code: string, from: number, to: number): void {
    if (mutation.mayRefuse.includes(code)) return;
    this.expectSome(from, to, (model) => {
      const answer = mutation.model(model.clone(), 0);
      return answer === code ? undefined : `${mutation.text} was refused with ${code}, a plain filesystem says ${answer ?? 'done'}`;
    });
  }

  /** Some state from version `from` to version `to` must pass; judged when all of them are known. */
  expectSome(from: number, to: number, check: Check): void {
    this.#versionShownMax = Math.max(this.#versionShownMax, to);
    this.#expectations.push({ from, to, check });
    this.#judge(this.#progress.at(-1)?.version ?? 0);
  }

  /** A reader was told of these blocks, and may fetch them until then. */
  planned(uploads: ReadonlySet<UploadId>, validUntilMs: number): void {
    this.#plans.push({ uploads, validUntilMs });
  }

  /** Blocks of an upload are about to go. */
  removing(upload: UploadId, durable: KvReader, uncertain: readonly (readonly KvWrite[])[], nowMs: number): void {
    const isNamed = uploadsInBodies(durable).has(upload) || uncertain.some((writes) => rowsOfCommit(writes).bodyUploads.has(upload));
    if (isNamed) this.violate(`the blocks of upload ${upload} go while a body names them`);
    this.#plans = this.#plans.filter(({ validUntilMs }) => validUntilMs > nowMs);
    if (this.#plans.some(({ uploads }) => uploads.has(upload))) {
      this.violate(`the blocks of upload ${upload} go while a reader still has time to fetch them`);
    }
    this.#removedUploads.add(upload);
  }

  hasRemoved(upload: UploadId): boolean {
    return this.#removedUploads.has(upload);
  }

  /** Versions up to this one survive any crash. */
  get durableVersion(): number {
    return this.#progress.findLast(({ commit }) => commit <= this.#flushedCommit)?.version ?? 0;
  }

  get newest(): ModelFilesystem {
    return (this.#states.at(-1) as State).model;
  }

  /**
   * A watcher goes on after this version: it must be durable, and nothing may come before it any more. An owner of a shared log that has just
   * begun leads to where its versions begin, of which the log says nothing yet.
   */
  led(watcher: string, cursor: number): void {
    if (!this.#isShared && cursor > this.durableVersion) this.violate(`${watcher} was led to ${cursor}, durable is ${this.durableVersion}`);
    this.#cursorMax = Math.max(this.#cursorMax, cursor);
  }

  stateAt(version: number): ModelFilesystem {
    return (this.#states.findLast((state) => state.version <= version) as State).model;
  }

  effectOf(requestId: string): number | undefined {
    return this.#effects.get(requestId);
  }

  /** What a watcher must hear of the versions after `since` up to `to`. */
  changesBetween(since: number, to: number): readonly WatchedChange[] {
    return this.#changes.map(({ change }) => change).filter(({ version, kind }) => version > since && version <= to && kind !== 'request');
  }

  /** States that were current at some time from version `from` to version `to`. */
  #window(from: number, to: number): readonly State[] {
    const first = this.#states.findLastIndex(({ version }) => version <= from);
    const last = this.#states.findLastIndex(({ version }) => version <= to);
    return this.#states.slice(Math.max(0, first), last + 1);
  }

  #judge(known: number): void {
    const later: Expectation[] = [];
    for (const expectation of this.#expectations) {
      if (expectation.to > known) later.push(expectation);
      else this.#judgeOne(expectation);
    }
    this.#expectations = later;
  }

  #judgeOne({ from, to, check }: Expectation): void {
    this.checks += 1;
    let answer: string | undefined = 'no state is known';
    for (const { model } of this.#window(from, to)) {
      answer = check(model);
      if (answer === undefined) return;
    }
    this.violate(`${answer} (versions ${from} to ${to})`);
  }
}

function compareChanges(a: WatchedChange, b: WatchedChange): number {
  return a.version - b.version || a.ordinal - b.ordinal;
}
