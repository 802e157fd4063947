/**
 * Makes directory entries durable.
 *
 * Invariants: `sync(dir)` resolves after an fsync of `dir` that began after the call, so every entry made before the
 * call is on disk. Callers that come while an fsync runs share the next one: a hundred puts into one directory cost
 * a few fsyncs. `settle(dir)` resolves when `dir` is itself durable, that is, every parent up to the root was
 * synced after its entry was made; what is known to be durable is remembered in a bounded set, and `forget` drops what was removed.
 */
import { close, fsync, mkdir, open } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from './file-errors.js';

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFile = promisify(fsync);
const makeDirectory = promisify(mkdir);

/** Upload directories come and go; this many are remembered as durable. */
const KNOWN_MAX = 4096;

interface Running {
  readonly done: Promise<void>;
  next: Promise<void> | undefined;
}

export class DirectorySync {
  readonly #root: string;
  readonly #flush: (directory: string) => Promise<void>;
  readonly #running = new Map<string, Running>();
  readonly #known = new Set<string>();

  /** @param flush makes a directory's entries durable; tests count its calls. */
  constructor(root: string, flush: (directory: string) => Promise<void> = flushDirectory) {
    this.#root = root;
    this.#flush = flush;
  }

  /** Makes the directory and its parents; they are durable only after `settle`. */
  async create(directory: string): Promise<void> {
    for (const path of this.#unsettled(directory)) {
      try {
        await makeDirectory(path);
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
    }
  }

  /** Resolves when the existing directory is reachable after a crash. The flushes run at once: their order does not matter. */
  async settle(directory: string): Promise<void> {
    const paths = this.#unsettled(directory);
    await Promise.all(paths.map((path) => this.sync(dirname(path))));
    if (this.#known.size + paths.length > KNOWN_MAX) this.#known.clear();
    for (const path of paths) this.#known.add(path);
  }

  /** From the top. */
  #unsettled(directory: string): readonly string[] {
    const paths: string[] = [];
    for (let at = directory; at.length > this.#root.length && !this.#known.has(at); at = dirname(at)) paths.unshift(at);
    return paths;
  }

  /** Call when the directory was found missing or was removed. */
  forget(directory: string): void {
    for (let at = directory; at.length > this.#root.length; at = dirname(at)) this.#known.delete(at);
  }

  sync(directory: string): Promise<void> {
    const running = this.#running.get(directory);
    if (running === undefined) return this.#start(directory);
    running.next ??= running.done.then(
      () => this.#start(directory),
      () => this.#start(directory),
    );
    return running.next;
  }

  #start(directory: string): Promise<void> {
    const done = this.#flush(directory);
    const entry: Running = { done, next: undefined };
    this.#running.set(directory, entry);
    const finish = (): void => {
      if (entry.next === undefined && this.#running.get(directory) === entry) this.#running.delete(directory);
    };
    done.then(finish, finish);
    return done;
  }
}

async function flushDirectory(directory: string): Promise<void> {
  const fd = await openFile(directory, 'r');
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
}
