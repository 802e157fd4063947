/**
 * {@link Storage}: settings are extended attributes of directories, so that they are kept, cloned, restored and guarded like every other,
 * and can be seen and set through a mount. They are asked for once for all directories above a path, and remembered for a moment.
 */
import { CODECS, NokvError, formatName, joinPath, splitPath, type ListedMutation, type NodeRef } from '@nokv/types';
import { isNokvError } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { MutationOptions, Outcome, PathLike } from '../nokv-client.js';
import { STORAGE_DEFAULT, type Storage, type StorageInfo, type StorageSettings } from '../storage.js';
import { pathBytes } from './arguments.js';
import { transact } from './transaction.js';

export const STORAGE_XATTRS = { compress: 'user.nokv.compress', dedup: 'user.nokv.dedup' } as const;
type Setting = keyof StorageSettings;
const SETTINGS = Object.keys(STORAGE_XATTRS) as readonly Setting[];

/** A setting counts for a client this long after it was set, at the latest. */
const REMEMBERED_MS = 2000;
const REMEMBERED_MAX = 1000;

interface Remembered {
  readonly untilMs: number;
  readonly info: Promise<StorageInfo>;
}

const remembered = new WeakMap<ClientContext, Map<string, Remembered>>();

/** For what is put at `path`: the settings of the directories above it. */
export async function storageFor(context: ClientContext, path: Uint8Array, options: CallOptions): Promise<StorageSettings> {
  return await storageBelow(context, splitPath(path).slice(0, -1), options);
}

/** For what is put into a directory, which need not be there yet. */
export async function storageBelow(
  context: ClientContext,
  directory: readonly Uint8Array[],
  options: CallOptions,
): Promise<StorageSettings> {
  const key = formatName(joinPath(directory));
  const known = remembered.get(context) ?? new Map<string, Remembered>();
  remembered.set(context, known);
  const now = context.clock.monotonicMs();
  const found = known.get(key);
  if (found !== undefined && found.untilMs > now) return (await found.info).settings;
  if (known.size >= REMEMBERED_MAX) known.clear();
  const info = storageOf(context, directory, options);
  known.set(key, { untilMs: now + REMEMBERED_MS, info });
  info.catch(() => known.delete(key));
  return (await info).settings;
}

async function storageOf(context: ClientContext, directory: readonly Uint8Array[], options: CallOptions): Promise<StorageInfo> {
  const { metadata } = context;
  const paths = Array.from({ length: directory.length + 1 }, (_, length) => joinPath(directory.slice(0, directory.length - length)));
  const nodes = paths.map((path): NodeRef => ({ path }));
  const { answers } = await metadata.read('stat-many', { nodes, follow: false }, options);
  if (answers.some((answer) => answer.ok && answer.value.type === 'symlink')) {
    // Settings are those of the place where the files are.
    const { ino } = await metadata.read('stat', { node: { path: joinPath(directory) } }, options);
    const { path } = await metadata.read('path-of', { ino }, options);
    return await storageOf(context, splitPath(path), options);
  }
  const settings: { -readonly [Key in Setting]: StorageSettings[Key] } = { ...STORAGE_DEFAULT };
  const from: { [Key in Setting]?: string } = {};
  for (const setting of SETTINGS) {
    // The nearest directory first; one that is not there yet says nothing.
    for (const [at, answer] of answers.entries()) {
      const path = paths[at];
      if (path === undefined || !answer.ok || from[setting] !== undefined) continue;
      const name = Buffer.from(STORAGE_XATTRS[setting]);
      if (!answer.value.xattrs.some((one) => Buffer.compare(one, name) === 0)) continue;
      const text = await valueOf(context, path, name, options);
      if (text === undefined) continue;
      if (setting === 'compress') settings.compress = parseCompress(text, path);
      else settings.dedup = parseSwitch(text, path);
      from[setting] = formatName(path);
    }
  }
  return { settings, from };
}

/** Who may not read what a directory says puts as if it said nothing. */
async function valueOf(context: ClientContext, path: Uint8Array, name: Uint8Array, options: CallOptions): Promise<string | undefined> {
  try {
    const { value } = await context.metadata.read('xattr-get', { node: { path }, name }, options);
    return Buffer.from(value).toString('utf8');
  } catch (error) {
    if (isNokvError(error) && (error.kind === 'denied' || error.kind === 'not-found')) return undefined;
    throw error;
  }
}

function parseCompress(text: string, path: Uint8Array): StorageSettings['compress'] {
  const found = [...CODECS, 'none' as const].find((choice) => choice === text);
  if (found === undefined) throw unknownValue(STORAGE_XATTRS.compress, [...CODECS, 'none'], text, path);
  return found;
}

function parseSwitch(text: string, path: Uint8Array): boolean {
  if (text !== 'on' && text !== 'off') throw unknownValue(STORAGE_XATTRS.dedup, ['on', 'off'], text, path);
  return text === 'on';
}

function unknownValue(name: string, choices: readonly string[], found: string, path: Uint8Array): NokvError {
  return new NokvError(
    'invalid-argument',
    `${formatName(path)}: its ${name} should be one of ${choices.join(', ')}, found "${found.slice(0, 100)}"; set it anew`,
  );
}

export class PathStorage implements Storage {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  async get(path: PathLike, options: CallOptions = {}): Promise<StorageInfo> {
    const { ino, type } = await this.#context.metadata.read('stat', { node: { path: pathBytes(path) } }, options);
    const real = splitPath((await this.#context.metadata.read('path-of', { ino }, options)).path);
    return await storageOf(this.#context, type === 'directory' ? real : real.slice(0, -1), options);
  }

  async set(path: PathLike, settings: Partial<StorageSettings>, options: Omit<MutationOptions, 'owner'> = {}): Promise<Outcome> {
    const { compress, dedup } = settings;
    const node = { path: pathBytes(path) };
    if (compress !== undefined) parseCompress(compress, node.path);
    const values = { compress, dedup: dedup === undefined ? undefined : dedup ? 'on' : 'off' };
    const operations = SETTINGS.flatMap((setting): ListedMutation[] => {
      const value = values[setting];
      if (value === undefined) return [];
      return [
        { operation: 'xattr-set', args: { node, name: Buffer.from(STORAGE_XATTRS[setting]), value: Buffer.from(value), mode: 'set' } },
      ];
    });
    if (operations.length === 0) throw new NokvError('invalid-argument', 'expected compress, dedup or both to be set');
    await this.#mustBeDirectory(node, options);
    return await this.#commit(operations, options);
  }

  async clear(path: PathLike, options: Omit<MutationOptions, 'owner'> = {}): Promise<void> {
    const node = { path: pathBytes(path) };
    const names = await this.#mustBeDirectory(node, options);
    const operations = SETTINGS.map((setting) => Buffer.from(STORAGE_XATTRS[setting]))
      .filter((name) => names.some((one) => Buffer.compare(one, name) === 0))
      .map((name): ListedMutation => ({ operation: 'xattr-remove', args: { node, name } }));
    if (operations.length > 0) await this.#commit(operations, options);
  }

  async #mustBeDirectory(node: NodeRef & { readonly path: Uint8Array }, options: CallOptions): Promise<readonly Uint8Array[]> {
    const { type, xattrs } = await this.#context.metadata.read('stat', { node }, options);
    if (type === 'directory') return xattrs;
    throw new NokvError('not-directory', `${formatName(node.path)} is a ${type}; storage is set for a directory and all below it`);
  }

  async #commit(operations: readonly ListedMutation[], options: Omit<MutationOptions, 'owner'>): Promise<Outcome> {
    remembered.delete(this.#context);
    const { version, requestId } = await transact(this.#context, operations, [], options);
    remembered.delete(this.#context);
    return { version, requestId };
  }
}
