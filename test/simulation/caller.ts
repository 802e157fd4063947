/**
 * A caller: asks one thing after another, sends again under the same request id what it got no answer to, sends some requests twice
 * at once, reads bodies block by block. Tells the oracle what it asked and what it heard.
 */
import type { Committed, ShardEngine } from '@nokv/meta';
import {
  ID_RANDOM_BYTES,
  NokvError,
  isHole,
  toNokvError,
  makeRequestId,
  requestId as checkRequestId,
  type InodeNumber,
  type MutationOperation,
  type MutationResult,
  type ReadPlan,
  type RequestId,
  type UploadId,
} from '@nokv/types';
import {
  at,
  beginUpload,
  clone,
  closeHandle,
  closeSession,
  copyOf,
  createSnapshot,
  drawMutation,
  drawPath,
  endUpload,
  lock,
  openHandle,
  openSession,
  put,
  putBlocks,
  retireSnapshot,
  rollback,
  type HeldSnapshot,
  type SimMutation,
  type Taste,
} from './operations.js';
import { difference, modelTree, shardTreeAt, textOfBody, type AskAndWait, type BlockText } from './namespace.js';
import type { Answer, SimProcess } from './process.js';
import type { SeededRandom } from './seeded-random.js';
import type { World } from './world.js';

const ATTEMPTS_MAX = 40;
const SNAPSHOTS_MAX = 4;
/** Copies of copies would soon be all there is to do. */
const NODES_MAX = 40;

export class Caller {
  readonly #world: World;
  readonly #name: string;
  readonly #random: SeededRandom;
  readonly #taste: Taste;
  #requests = 0;

  constructor(world: World, name: string, random: SeededRandom, taste: Taste) {
    this.#world = world;
    this.#name = name;
    this.#random = random;
    this.#taste = taste;
  }

  async run(): Promise<void> {
    // Ends when the world winds down.
    for (;;) {
      await this.#world.turn(this.#name);
      if (this.#world.isWindingDown) return;
      await this.#act();
    }
  }

  async #act(): Promise<void> {
    const kind = this.#random.float();
    if (kind < 0.5) await this.#mutate(drawMutation(this.#random, this.#taste, `${this.#name}.${this.#requests}`));
    else if (kind < 0.65) await this.#putBlocks();
    else if (kind < 0.7) await this.#copy();
    else if (kind < 0.74) await this.#putIfUnchanged();
    else if (kind < 0.83) await this.#onThePast();
    else if (kind < 0.95) await this.#readFile(this.#blockPath());
    else await this.#hold();
  }

  /* ------------------------------------------------------------ mutations */

  /** @returns the result, or undefined where it was refused or nobody knows. */
  async #mutate<Op extends MutationOperation>(mutation: SimMutation<Op>): Promise<MutationResult<Op> | undefined> {
    const { scheduler, oracle, time } = this.#world;
    const requestId = this.#drawRequestId();
    const acknowledgement = this.#random.chance(0.25) ? 'visible' : 'durable';
    const firstSentMs = time.ms;
    oracle.sent(requestId, mutation as unknown as SimMutation);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (attempt > 0) await this.#world.turn(`${this.#name} again`);
      const { process, engine } = this.#late() ?? (await this.#serving());
      const from = oracle.durableVersion;
      const age = attempt === 0 ? 0 : time.ms - firstSentMs + 1;
      const send = (): Promise<Answer<Committed<MutationResult<Op>>>> =>
        process.hear(
          engine.mutate(mutation.operation, mutation.args, { requestId, actor: this.#name, acknowledgement, attemptAgeMs: age }),
        );
      scheduler.note(`  ${this.#name} sends ${requestId} ${mutation.text}${acknowledgement === 'visible' ? ' (visible)' : ''}`);
      const answers = await Promise.all(this.#random.chance(0.06) ? [send(), send()] : [send()]);
      const told = answers.find(({ kind }) => kind === 'done') ?? answers[0];
      if (told === undefined) continue;
      // An earlier owner knows nothing of what came after it: what it shows and refuses may be of another state. What it says is durable must be.
      const isStale = process !== this.#world.process && (told.kind === 'refused' || acknowledgement === 'visible');
      if (isStale && told.kind !== 'died') continue;
      if (told.kind === 'done') {
        // A reply that is lost on its way: the caller knows nothing and sends again.
        if (this.#random.chance(0.08) && !this.#world.isWindingDown) continue;
        oracle.acknowledged(requestId, told.value.version, acknowledgement === 'durable');
        if (acknowledgement === 'durable' || (await this.#becomesDurable(told.value.version, engine))) return told.value.result;
        continue;
      }
      if (told.kind === 'refused' && !isEnvironment(told.error)) {
        scheduler.note(`  ${requestId} is refused: ${told.error.code}`);
        if (told.error.code === 'request-expired') return undefined;
        if (told.error.code === 'internal' || told.error.code === 'corrupt' || told.error.code === 'request-reused') {
          this.#world.oracle.violate(`${requestId} ${mutation.text} was refused with ${told.error.code}: ${told.error.message}`);
        }
        const to = acknowledgement === 'durable' ? oracle.durableVersion : engine.visibleVersion;
        oracle.refused(mutation as unknown as SimMutation, told.error.code, from, to);
        return undefined;
      }
      if (this.#random.chance(0.1)) return undefined;
    }
    return undefined;
  }

  /** Some are like those that clients of ours draw, which take other rows than ids of other makers. */
  #drawRequestId(): RequestId {
    this.#requests += 1;
    return this.#random.chance(0.5)
      ? makeRequestId(this.#world.time.ms, this.#random.bytes(ID_RANDOM_BYTES))
      : checkRequestId(`${this.#name}-${this.#requests}`);
  }

  /** What was only visible is kept until it is durable, as a caller with a journal of its own does. */
  async #becomesDurable(version: number, engine: ShardEngine): Promise<boolean> {
    // Ends: the open batch goes on its way by itself, or the process dies.
    for (;;) {
      await this.#world.turn(`${this.#name} waits`, 3);
      if (this.#world.process.engine !== engine) return false;
      if (this.#world.isLost(version)) return false;
      if (engine.durableVersion >= version) return true;
    }
  }

  /** Snapshots, copies now and of the past, and what snapshots show. */
  async #onThePast(): Promise<void> {
    const random = this.#random;
    const { oracle, snapshots } = this.#world;
    const held = snapshots.length === 0 ? undefined : random.pick(snapshots);
    const isRoomy = oracle.newest.size < NODES_MAX;
    const draw = random.float();
    if (held === undefined || draw < 0.25) {
      await this.#snapshot(random.chance(0.7) ? '/' : drawPath(random));
    } else if (draw < 0.5) {
      if (isRoomy)
        await this.#mutate(clone(drawPath(random), drawPath(random), random.chance(0.4) && held.path === '/' ? held : undefined));
    } else if (draw < 0.65) {
      if (isRoomy && held.path === '/') await this.#mutate(rollback(drawPath(random), held));
    } else if (draw < 0.72) {
      // Whoever reads it now may be told that it is over; what it shows is never wrong.
      snapshots.splice(snapshots.indexOf(held), 1);
      await this.#mutate(retireSnapshot(held));
    } else {
      await this.#readSnapshot(held);
    }
  }

  async #snapshot(path: string): Promise<void> {
    const { oracle, snapshots } = this.#world;
    if (snapshots.length >= SNAPSHOTS_MAX) return;
    const made = await this.#mutate(createSnapshot(path));
    if (made === undefined) return;
    const { id, path: where } = made.pin;
    const model = oracle.stateAt(made.pin.version);
    const shown = Buffer.from(where).toString();
    if (model.at(shown)?.type === 'directory') snapshots.push({ id, path: shown, model });
  }

  /** All that a snapshot shows must be what was there when it was made, bodies in blocks included. */
  async #readSnapshot(held: HeldSnapshot): Promise<void> {
    const { oracle, scheduler, snapshots } = this.#world;
    const { process, engine } = await this.#serving();
    const read: AskAndWait = async (operation, args) => {
      await this.#world.turn(`${this.#name} looks back`, 6);
      const ask = async () => engine.read(operation, args, { visible: false });
      const answer = await process.hear(ask());
      if (answer.kind === 'died') throw new NokvError('unavailable', 'the server died');
      if (answer.kind === 'refused') throw answer.error;
      return answer.value;
    };
    const blockText: BlockText = (upload, index) => {
      if (oracle.hasRemoved(upload) && snapshots.includes(held))
        oracle.violate(`snapshot ${held.id} shows upload ${upload}, whose blocks are gone`);
      return this.#world.blockText(upload, index);
    };
    try {
      const found = await shardTreeAt(held.path, { snapshot: held.id }, read, blockText);
      const root = held.model.at(held.path);
      const answer = root === undefined ? 'no root' : difference(found, modelTree(root, held.path === '/' ? '' : held.path));
      scheduler.note(`  ${this.#name} has read snapshot ${held.id}: ${answer ?? 'as it was'}`);
      if (answer !== undefined) oracle.violate(`snapshot ${held.id} of ${held.path}: ${answer}`);
    } catch (error) {
      const refusal = toNokvError(error);
      if (isEnvironment(refusal) || !snapshots.includes(held)) return;
      oracle.violate(`snapshot ${held.id} of ${held.path} cannot be read: ${refusal.code}: ${refusal.message}`);
    }
  }

  async #putBlocks(): Promise<void> {
    const random = this.#random;
    const begun = await this.#mutate(beginUpload(random.pick([30_000, 600_000, 3_600_000])));
    if (begun === undefined) return;
    const { upload } = begun;
    const blocks = Array.from({ length: 1 + random.below(2) }, (_, i) => `<${this.#name}.${this.#requests}.${i}>`);
    for (const [index, text] of blocks.entries()) {
      if (await this.#putBlock(upload, index, text)) continue;
      await this.#mutate(endUpload(upload));
      return;
    }
    if (random.chance(0.1)) return;
    const path = this.#blockPath();
    this.#world.blockPaths.push(path);
    const keepsOpen = random.chance(0.3);
    await this.#mutate(putBlocks(path, upload, blocks, !keepsOpen));
    if (keepsOpen && random.chance(0.7)) await this.#mutate(putBlocks(drawPath(random), upload, blocks.slice(0, 1), true));
  }

  /** Mostly one of those that hold bodies in blocks. */
  #blockPath(): string {
    const lately = this.#world.blockPaths.slice(-4);
    return lately.length > 0 && this.#random.chance(0.7) ? this.#random.pick(lately) : drawPath(this.#random);
  }

  async #putBlock(upload: UploadId, index: number, text: string): Promise<boolean> {
    this.#world.rememberBlock(upload, index, text);
    for (let attempt = 0; attempt < 3; attempt++) {
      const isStored = await this.#world.store.put(upload, index, text).then(
        () => true,
        () => false,
      );
      if (isStored) return true;
    }
    return false;
  }

  /** Another name for the pieces of a body that is there: blocks are shared, nothing is uploaded. */
  async #copy(): Promise<void> {
    const plan = await this.#open(drawPath(this.#random));
    if (plan === undefined) return;
    const text = textOfBody(plan.body, this.#world.blockText);
    await this.#mutate(copyOf(drawPath(this.#random), plan.body, plan.attributes.ino, text));
  }

  async #putIfUnchanged(): Promise<void> {
    const path = drawPath(this.#random);
    const plan = this.#random.chance(0.3) ? undefined : await this.#open(path);
    const text = `${this.#name}.${this.#requests}?`;
    await this.#mutate(put(path, { kind: 'inline', bytes: Buffer.from(text) }, text, plan?.generation ?? 0));
  }

  /** Opens and locks files under a session, lets others go on, and gives up all, some or nothing of it. */
  async #hold(): Promise<void> {
    const random = this.#random;
    const opened = await this.#mutate(openSession(random.pick([5000, 60_000, 600_000])));
    if (opened === undefined) return;
    const { session } = opened;
    const inodes: InodeNumber[] = [];
    for (let files = 1 + random.below(2); files > 0; files--) {
      const path = drawPath(random);
      const file = await this.#mutate(openHandle(path, session));
      if (file !== undefined) inodes.push(file.attributes.ino);
      const start = random.below(4);
      if (random.chance(0.6))
        await this.#mutate(lock(path, session, { type: random.pick(['shared', 'exclusive']), start, end: start + 2 }));
    }
    for (let turns = random.below(4); turns > 0; turns--) await this.#world.turn(`${this.#name} holds`);
    for (const ino of inodes) if (random.chance(0.5)) await this.#mutate(closeHandle(ino, session));
    if (random.chance(0.5)) await this.#mutate(closeSession(session));
  }

  /* ---------------------------------------------------------------- reads */

  async #readFile(path: string): Promise<void> {
    const plan = await this.#open(path);
    if (plan?.body.kind !== 'blocks') return;
    const { time, oracle, store } = this.#world;
    const uploads = new Set(plan.body.manifest.extents.flatMap((extent) => (isHole(extent) ? [] : [extent.upload])));
    const validUntilMs = time.ms + this.#world.graceMs;
    oracle.planned(uploads, validUntilMs);
    for (const extent of plan.body.manifest.extents) {
      if (isHole(extent)) continue;
      await this.#world.turn(`${this.#name} fetches`, 4);
      const answer = await store.get(extent.upload, extent.index).then(
        (text) => ({ text }),
        () => undefined,
      );
      // The store fails, or the reader was too slow: it opens the file again.
      if (answer === undefined || time.ms > validUntilMs) return;
      if (answer.text !== this.#world.blockText(extent.upload, extent.index)) {
        oracle.violate(`${path} lists block ${extent.upload}/${extent.index}, the store gives ${JSON.stringify(answer.text)}`);
      }
    }
  }

  /** Opens a file and has the answer judged. */
  async #open(path: string): Promise<ReadPlan | undefined> {
    const { oracle, scheduler } = this.#world;
    const { process, engine } = await this.#serving();
    const from = oracle.durableVersion;
    const read = async (): Promise<ReadPlan> => engine.read('open-read', { node: at(path) }, { visible: false });
    const answer = await process.hear(read());
    if (answer.kind === 'died') return undefined;
    if (answer.kind === 'refused' && isEnvironment(answer.error)) return undefined;
    const found =
      answer.kind === 'done' ? `text ${JSON.stringify(textOfBody(answer.value.body, this.#world.blockText))}` : answer.error.code;
    scheduler.note(`  ${this.#name} reads ${path}: ${found}`);
    oracle.expectSome(from, oracle.durableVersion, (model) => {
      const expected = model.read(path);
      const shown = 'text' in expected ? `text ${JSON.stringify(expected.text)}` : expected.code;
      return shown === found ? undefined : `reading ${path} gave ${found}, a plain filesystem has ${shown}`;
    });
    return answer.kind === 'done' ? answer.value : undefined;
  }

  /** Some callers have not heard that another owner took over. */
  #late(): { readonly process: SimProcess; readonly engine: ShardEngine } | undefined {
    const { earlier } = this.#world;
    if (earlier?.engine === undefined || !this.#random.chance(0.5)) return undefined;
    return { process: earlier, engine: earlier.engine };
  }

  async #serving(): Promise<{ readonly process: SimProcess; readonly engine: ShardEngine }> {
    // Ends: a process that died is started again.
    for (;;) {
      const { process } = this.#world;
      if (process.engine !== undefined) return { process, engine: process.engine };
      await this.#world.turn(`${this.#name} looks for the server`, 3);
    }
  }
}

/** Refusals that say nothing about the request itself. */
export function isEnvironment(error: NokvError): boolean {
  return ['no-space', 'unavailable', 'draining', 'too-busy', 'lease-lost', 'fenced'].includes(error.code);
}
