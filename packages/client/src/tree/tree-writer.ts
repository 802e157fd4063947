/**
 * Makes entries of a remote tree what they are at their source. Everything is named by the inode of its directory and its
 * name, so a rename of the destination meanwhile misplaces nothing, and no symlink at the destination is followed. What is in
 * the way and of another kind goes in the same commit that puts the new entry there; a directory with all below it only when
 * the writer was told so.
 */
import {
  NokvError,
  compareBytes,
  formatName,
  type Attributes,
  type InodeNumber,
  type InodeType,
  type ListedMutation,
  type ListedResult,
  type NodeCard,
  type Owner,
  type SetattrArgs,
  type Timespec,
} from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { StagedBody } from '../nokv-client.js';
import { publishArgs } from '../path/publish-body.js';
import type { GatheredMutations } from './gathered-mutations.js';
import { keptXattr } from './kept-xattrs.js';

export interface Place {
  readonly parent: InodeNumber;
  readonly name: Uint8Array;
}

export interface Xattr {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** What an entry shall be. */
export interface SourceNode {
  readonly type: InodeType;
  readonly mode: number;
  readonly owner: Owner;
  readonly mtime: Timespec;
  readonly rdev: number;
  /** Undefined: not known, and left as they are. */
  readonly xattrs: readonly Xattr[] | undefined;
}

export interface TreeWriterOptions {
  readonly context: ClientContext;
  readonly gathered: GatheredMutations;
  readonly signal: AbortSignal;
  readonly producer: string | undefined;
  /** A directory in the way of something else is removed. */
  readonly mayRemoveTrees: boolean;
  /** Give what is there already its owner, too. */
  readonly chown: boolean;
}

/** The owner makes entries in every directory; modes that forbid that are set last. */
export const OWNER_WRITE = 0o700;

export class TreeWriter {
  readonly #options: TreeWriterOptions;

  constructor(options: TreeWriterOptions) {
    this.#options = options;
  }

  /** A new directory that can be written into; mode and times come last. */
  async directory(at: Place, node: SourceNode, existing: Attributes | undefined): Promise<InodeNumber> {
    const args = { entry: at, mode: node.mode | OWNER_WRITE, parents: false, ...node.owner };
    return (await this.#make(at, existing, { operation: 'mkdir', args })).attributes.ino;
  }

  async symlink(at: Place, node: SourceNode, target: Uint8Array, existing: Attributes | undefined): Promise<InodeNumber> {
    const made = await this.#make(at, existing, { operation: 'symlink', args: { entry: at, target, ...node.owner } });
    await this.attributes(node, made.attributes);
    await this.xattrs(made.attributes.ino, node.xattrs, []);
    return made.attributes.ino;
  }

  async special(at: Place, node: SourceNode, existing: Attributes | undefined): Promise<InodeNumber> {
    const { type, mode, owner, rdev } = node;
    const args = { entry: at, type, mode, exclusive: true, ...owner, ...(type === 'char' || type === 'block' ? { rdev } : {}) };
    const made = await this.#make(at, existing, { operation: 'create', args });
    await this.attributes(node, made.attributes);
    await this.xattrs(made.attributes.ino, node.xattrs, []);
    return made.attributes.ino;
  }

  /** Another name for an inode that is there. */
  async link(at: Place, ino: InodeNumber, existing: Attributes | undefined): Promise<void> {
    await this.#make(at, existing, { operation: 'link', args: { node: { ino }, entry: at } });
  }

  /**
   * Publishes a body. A file that is there gets it as its next generation, unless it has other names: they are not ours to change,
   * so the name becomes another file's.
   */
  async file(at: Place, node: SourceNode, staged: StagedBody, existing: NodeCard | undefined): Promise<InodeNumber> {
    const { context, gathered, producer } = this.#options;
    const isOurs = existing?.type === 'file' && existing.nlink === 1;
    const options = { mode: node.mode, mtime: node.mtime, owner: node.owner, producer, ...(isOurs ? {} : { ifGeneration: 0 }) };
    const args = publishArgs(context, isOurs ? { ino: existing.ino } : at, staged, options);
    const { attributes } = isOurs
      ? (await gathered.mutate('publish', args)).result
      : await this.#make(at, existing, { operation: 'publish', args });
    await this.attributes(node, attributes);
    await this.xattrs(attributes.ino, node.xattrs, isOurs ? existing.xattrs : []);
    return attributes.ino;
  }

  /** Sets what differs. @returns whether something did. */
  async attributes(node: SourceNode, found: Attributes): Promise<boolean> {
    const change = this.change(node, found);
    if (change === undefined) return false;
    await this.#options.gathered.mutate('setattr', { node: { ino: found.ino }, follow: false, ...change });
    return true;
  }

  /** What differs, or undefined. */
  change(
    { type, mode, owner, mtime }: SourceNode,
    found: Attributes,
  ): Partial<Pick<SetattrArgs, 'mode' | 'uid' | 'gid' | 'mtime'>> | undefined {
    const chown = this.#options.chown && (owner.uid !== found.uid || owner.gid !== found.gid);
    // A change of owner may clear bits of the mode, which is then set again in the same commit.
    const chmod = type !== 'symlink' && (mode !== found.mode || chown);
    const touch = mtime.sec !== found.mtime.sec || mtime.nsec !== found.mtime.nsec;
    if (!chown && !chmod && !touch) return undefined;
    return { ...(chown ? owner : {}), ...(chmod ? { mode } : {}), ...(touch ? { mtime } : {}) };
  }

  /** Sets what differs and removes what is not wanted. @returns whether something did. */
  async xattrs(ino: InodeNumber, wanted: readonly Xattr[] | undefined, found: readonly Uint8Array[]): Promise<boolean> {
    if (wanted === undefined) return false;
    const { gathered } = this.#options;
    const have = found.filter(keptXattr);
    let changed = false;
    for (const { name, value } of wanted) {
      if (has(have, name) && compareBytes(await this.#xattr(ino, name), value) === 0) continue;
      await gathered.mutate('xattr-set', { node: { ino }, name, value, mode: 'set' });
      changed = true;
    }
    for (const name of have) {
      if (wanted.some((one) => compareBytes(one.name, name) === 0)) continue;
      await gathered.mutate('xattr-remove', { node: { ino }, name });
      changed = true;
    }
    return changed;
  }

  /** Whether {@link TreeWriter.xattrs} would change something. */
  async differsInXattrs(ino: InodeNumber, wanted: readonly Xattr[] | undefined, found: readonly Uint8Array[]): Promise<boolean> {
    if (wanted === undefined) return false;
    const have = found.filter(keptXattr);
    if (wanted.length !== have.length || !wanted.every(({ name }) => has(have, name))) return true;
    for (const { name, value } of wanted) if (compareBytes(await this.#xattr(ino, name), value) !== 0) return true;
    return false;
  }

  async #xattr(ino: InodeNumber, name: Uint8Array): Promise<Uint8Array> {
    const { context, signal } = this.#options;
    return (await context.metadata.read('xattr-get', { node: { ino }, name }, { signal })).value;
  }

  /** Makes an entry where nothing is, or in one commit in place of what is there. */
  async #make(at: Place, existing: Attributes | undefined, mutation: ListedMutation): Promise<{ readonly attributes: Attributes }> {
    const { gathered, mayRemoveTrees } = this.#options;
    if (existing === undefined) return made((await gathered.mutate(mutation.operation, mutation.args)).result);
    if (existing.type === 'directory' && !mayRemoveTrees) {
      throw new NokvError(
        'is-directory',
        `${formatName(at.name)}: a directory is in the way; remove it, or ask to delete what the source does not have`,
      );
    }
    const removal: ListedMutation =
      existing.type === 'directory' ? { operation: 'remove-tree', args: { entry: at } } : { operation: 'unlink', args: { entry: at } };
    return made((await gathered.transact([removal, mutation])).at(-1)?.result);
  }
}

function has(names: readonly Uint8Array[], name: Uint8Array): boolean {
  return names.some((one) => compareBytes(one, name) === 0);
}

/** Every mutation that makes an entry answers with its attributes. */
function made(result: ListedResult['result'] | undefined): { readonly attributes: Attributes } {
  if (result === undefined || !('attributes' in result))
    throw new NokvError('internal', 'an entry was made without an answer that says which');
  return result;
}
