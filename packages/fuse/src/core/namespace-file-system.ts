/**
 * The filesystem core: system calls on inodes, answered from what the mount knows or by the server.
 *
 * Caches: attributes of a node are shown without asking while they are fresh; they stop being fresh when this mount or,
 * by the change stream, anyone else changes the node. An answer that was on its way while something changed is shown with a
 * timeout of zero, so that nothing stale is kept. Metadata operations are acknowledged once visible; fsync, fsyncdir and syncfs
 * wait until everything so far is durable. Permissions are checked by the kernel (default_permissions).
 */
import type { Attributes, EntryRef } from '@nokv/types';
import { INODE_TYPES, INODE_TYPE_BITS, isNokvError } from '@nokv/types';
import { ERRNO, SystemError } from '../session/errno.js';
import {
  O,
  type AttributeChange,
  type AttributesReply,
  type Awaitable,
  type Caller,
  type Entry,
  type EntrySink,
  type FileSystem,
  type FileSystemStatistics,
  type OpenReply,
} from '../session/file-system.js';
import { DirectoryListing } from './directory-listing.js';
import { FileState } from './file-state.js';
import type { MountContext } from './mount-context.js';
import { ROOT_NODE_ID, type Node, type NodeTable } from './node-table.js';

const STATFS_BLOCK_BYTES = 4096;
const SETUID = 0o4000;
const SETGID = 0o2000;
const GROUP_EXECUTE = 0o010;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
/** Content of closed files that is kept for the next open: plans and inline bytes. */
const CLOSED_FILES_MAX = 2048;
/** Misses in one directory after which its names are fetched, and how many of them at most. */
const MISSES_BEFORE_LISTING = 4;
const LISTED_NAMES_MAX = 2048;
const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER;
const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);
const SYSTEM_NAMES = Buffer.from('system.');
const SECURITY_NAMES = Buffer.from('security.');

interface Handle {
  readonly node: Node;
  readonly isWriter: boolean;
  readonly isAppend: boolean;
  readonly isSync: boolean;
}

export interface CoreOptions {
  readonly readOnly: boolean;
  readonly cacheTimeoutMs: number;
}

export class NamespaceFileSystem implements FileSystem {
  readonly #handles = new Map<number, Handle>();
  readonly #listings = new Map<number, DirectoryListing>();
  /** Nodes with content but no open handle, oldest first. */
  readonly #closed = new Set<Node>();
  #nextHandle = 1;
  /** False while nobody tells us what others change. */
  isLive = true;

  constructor(
    readonly context: MountContext,
    readonly table: NodeTable,
    readonly options: CoreOptions,
  ) {
    context.onRenumbered = (from, to) => table.renumber(from, to);
  }

  get readOnly(): boolean {
    return this.options.readOnly;
  }

  /* ------------------------------------------------------------ the tree */

  lookup(parent: number, name: Uint8Array): Awaitable<Entry> {
    if (this.table.names.lacks(parent, name)) return { node: 0, attributes: undefined, timeoutMs: this.#timeout(this.table.now) };
    return this.#ask(parent, name);
  }

  async #ask(parent: number, name: Uint8Array): Promise<Entry> {
    const directory = this.#node(parent);
    const since = this.table.now;
    let attributes: Attributes;
    try {
      attributes = await this.context.read('lookup', { parent: directory.ino, name });
    } catch (error) {
      if (!isNokvError(error, 'not-found')) throw error;
      if (++directory.misses === MISSES_BEFORE_LISTING) await this.#learnNames(directory);
      return { node: 0, attributes: undefined, timeoutMs: this.#timeout(since) };
    }
    return this.#entry(attributes, parent, name, since);
  }

  /** Names are missed here again and again, as by somebody who creates files: one listing answers the next lookups. */
  async #learnNames(directory: Node): Promise<void> {
    const since = this.table.now;
    const { entries, more } = await this.context.read('list', { node: { ino: directory.ino }, limit: LISTED_NAMES_MAX, attributes: false });
    if (more || !this.table.isUnchangedSince(directory, since)) directory.misses = more ? -LISTED_NAMES_MAX : 0;
    else {
      this.table.names.begin(
        directory.id,
        entries.map(({ name }) => name),
      );
    }
  }

  forget(id: number, count: number): void {
    const node = this.table.get(id);
    if (node !== undefined) this.table.forget(node, count);
  }

  getattr(id: number): Awaitable<AttributesReply> {
    const node = this.#node(id);
    if (node.isGone || node.isFresh || this.table.current(node.ino) !== node) return this.#attributesReply(node, this.table.now);
    return this.#refresh(node);
  }

  async #refresh(node: Node): Promise<AttributesReply> {
    const since = this.table.now;
    try {
      this.#accept(node, await this.context.read('getattr', { ino: node.ino }), since);
    } catch (error) {
      if (!isNokvError(error, 'not-found') || (node.opens === 0 && node.file?.isBusy !== true)) throw error;
      this.#markGone(node);
    }
    return this.#attributesReply(node, since);
  }

  async setattr(id: number, change: AttributeChange): Promise<AttributesReply> {
    const node = this.#node(id);
    const { size, killPrivileges, ...rest } = change;
    if (size !== undefined) await this.#truncate(node, size);
    const mode = this.#modeAfter(node, change, killPrivileges === true || size !== undefined);
    if (rest.mtime !== undefined && rest.mtime !== 'now') node.file?.setMtime(rest.mtime);
    if (rest.mtime === 'now') node.file?.setMtime(this.context.clock.now());
    const changes = { ...rest, ...(mode === undefined ? {} : { mode }) };
    if (Object.keys(changes).length > 0) await this.#sendSetattr(node, changes);
    else if (size === undefined) return this.getattr(id);
    return this.#attributesReply(node, this.table.now);
  }

  async #sendSetattr(node: Node, changes: Omit<AttributeChange, 'killPrivileges'>): Promise<void> {
    if (node.isGone) {
      const now = this.context.clock.now();
      const { atime, mtime, ...rest } = changes;
      node.attributes = {
        ...node.attributes,
        ...rest,
        ...(atime === undefined ? {} : { atime: atime === 'now' ? now : atime }),
        ...(mtime === undefined ? {} : { mtime: mtime === 'now' ? now : mtime }),
        ctime: now,
      };
      return;
    }
    const since = this.table.now;
    const { result } = await this.context.mutate('setattr', { node: { ino: node.ino }, ...changes });
    if (this.table.current(node.ino) === node) return this.#accept(node, result.attributes, since);
    // A detached node goes on showing its own body.
    const { size, blocks, generation, ordinal } = node.attributes;
    node.attributes = { ...result.attributes, size, blocks, generation, ordinal };
  }

  /** Files with a state here change in place and are published at flush; others at once on the server. */
  async #truncate(node: Node, size: number): Promise<void> {
    if (node.type === 'directory') throw new SystemError(ERRNO.EISDIR);
    if (size > FILE_BYTES_MAX) throw new SystemError(ERRNO.EFBIG);
    if (node.opens > 0 || node.file?.isBusy === true) return this.#file(node).truncate(size);
    try {
      await this.#sendSetattr(node, { size });
    } catch (error) {
      if (!isNokvError(error, 'too-large')) throw error;
      // A small body that outgrows the metadata: it changes here and is published, as if it were open.
      const file = this.#file(node);
      await file.truncate(size);
      await file.flush();
    }
    node.pageGeneration = undefined;
    return undefined;
  }

  /** chown, truncate and write take setuid away, and setgid of group executables (chown(2), write(2)). */
  #modeAfter(node: Node, change: AttributeChange, kill: boolean): number | undefined {
    if (change.mode !== undefined) return change.mode;
    const isOwnerChange = change.uid !== undefined || change.gid !== undefined;
    if (node.type !== 'file' || !(isOwnerChange || kill)) return undefined;
    const { mode } = node.attributes;
    const left = mode & ~SETUID & (mode & GROUP_EXECUTE ? ~SETGID : ~0);
    return left === mode || !(isOwnerChange || change.killPrivileges === true) ? undefined : left;
  }

  async readlink(id: number): Promise<Uint8Array> {
    return (await this.context.read('readlink', { node: { ino: this.#node(id).ino } })).target;
  }

  async mknod(parent: number, name: Uint8Array, mode: number, rdev: number, caller: Caller): Promise<Entry> {
    const type = INODE_TYPES.find((candidate) => INODE_TYPE_BITS[candidate] === (mode & 0o170000)) ?? 'file';
    if (type === 'directory' || type === 'symlink') throw new SystemError(ERRNO.EINVAL);
    return this.#make(parent, name, (entry, directory) =>
      this.context.mutate('create', { entry, type, mode: mode & 0o7777, rdev, exclusive: true, ...this.#owner(directory, caller) }),
    );
  }

  async mkdir(parent: number, name: Uint8Array, mode: number, caller: Caller): Promise<Entry> {
    const entry = await this.#make(parent, name, (place, directory) =>
      this.context.mutate('mkdir', {
        entry: place,
        mode: (mode & 0o7777) | (directory.attributes.mode & SETGID),
        ...this.#owner(directory, caller),
      }),
    );
    this.table.names.begin(entry.node);
    return entry;
  }

  async symlink(parent: number, name: Uint8Array, target: Uint8Array, caller: Caller): Promise<Entry> {
    return this.#make(parent, name, (entry, directory) =>
      this.context.mutate('symlink', { entry, target, ...this.#owner(directory, caller) }),
    );
  }

  async link(id: number, parent: number, name: Uint8Array): Promise<Entry> {
    const node = this.#node(id);
    if (node.isGone) throw new SystemError(ERRNO.ENOENT);
    // The new name must show what the old one shows.
    if (node.file?.isDirty === true) await node.file.flush();
    return this.#make(parent, name, (entry) => this.context.mutate('link', { node: { ino: node.ino }, entry }));
  }

  async #make(
    parent: number,
    name: Uint8Array,
    call: (entry: EntryRef, directory: Node) => Promise<{ readonly result: { readonly attributes: Attributes } }>,
  ): Promise<Entry> {
    const directory = this.#node(parent);
    const since = this.table.now;
    const { result } = await call({ parent: directory.ino, name }, directory);
    const entry = this.#entry(result.attributes, parent, name, since);
    this.#gained(directory, name, result.attributes, since);
    return entry;
  }

  /**
   * A name was added to a directory. The commit gave the directory the time that it gave the inode, so its attributes are known
   * without asking, unless something else changed meanwhile.
   */
  #gained(directory: Node, name: Uint8Array, { type, ctime }: Attributes, since: number): void {
    this.table.names.add(directory.id, name);
    const wasFresh = directory.isFresh && this.table.isUnchangedSince(directory, since);
    this.table.touch(directory);
    if (!wasFresh) return;
    const { attributes } = directory;
    const nlink = attributes.nlink + (type === 'directory' ? 1 : 0);
    directory.attributes = {
      ...attributes,
      nlink,
      children: attributes.children + 1,
      mtime: ctime,
      ctime,
      revision: attributes.revision + 1,
    };
    directory.isFresh = true;
  }

  async unlink(parent: number, name: Uint8Array): Promise<void> {
    const directory = this.#node(parent);
    const { result } = await this.context.mutate('unlink', { entry: { parent: directory.ino, name } });
    this.table.names.remove(parent, name);
    this.table.touch(directory);
    const node = this.table.current(result.ino);
    if (node === undefined) return;
    this.table.touch(node);
    if (result.nlink === 0) this.#markGone(node);
  }

  async rmdir(parent: number, name: Uint8Array): Promise<void> {
    const directory = this.#node(parent);
    const { result } = await this.context.mutate('rmdir', { entry: { parent: directory.ino, name } });
    this.table.names.remove(parent, name);
    this.table.touch(directory);
    const node = this.table.current(result.ino);
    if (node !== undefined) this.#markGone(node);
  }

  async rename(
    parent: number,
    name: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    mode: 'replace' | 'no-replace' | 'exchange',
  ): Promise<void> {
    const from = this.#node(parent);
    const to = this.#node(newParent);
    const { result } = await this.context.mutate('rename', {
      from: { parent: from.ino, name },
      to: { parent: to.ino, name: newName },
      mode,
    });
    if (mode !== 'exchange') this.table.names.remove(parent, name);
    this.table.names.add(newParent, newName);
    for (const directory of [from, to]) this.table.touch(directory);
    const moved = this.table.current(result.ino);
    if (moved !== undefined) {
      this.table.touch(moved);
      moved.parent = newParent;
      moved.name = newName;
    }
    // What was replaced, if it is open here, learns it from the server when it is asked for.
    for (const handle of this.#handles.values()) if (handle.node.parent === newParent && handle.node !== moved) handle.node.isFresh = false;
  }

  /* --------------------------------------------------------------- files */

  async open(id: number, flags: number, killPrivileges: boolean): Promise<OpenReply> {
    const node = this.#node(id);
    if (node.type !== 'file') throw new SystemError(ERRNO.EINVAL);
    if (!node.isFresh && !node.isGone && this.table.current(node.ino) === node) await this.#refresh(node);
    const file = this.#file(node);
    const isTruncating = (flags & O.TRUNC) !== 0;
    if (!isTruncating) await file.load();
    const reply = this.#openHandle(node, flags);
    if (isTruncating && file.size > 0) await file.truncate(0);
    if (killPrivileges) await this.#killPrivileges(node);
    return reply;
  }

  async create(parent: number, name: Uint8Array, mode: number, flags: number, caller: Caller): Promise<{ entry: Entry; open: OpenReply }> {
    const directory = this.#node(parent);
    const since = this.table.now;
    const { result } = await this.context.mutate('create', {
      entry: { parent: directory.ino, name },
      type: 'file',
      mode: mode & 0o7777,
      exclusive: (flags & O.EXCL) !== 0,
      ...this.#owner(directory, caller),
    });
    const entry = this.#entry(result.attributes, parent, name, since);
    if (result.created) {
      this.#gained(directory, name, result.attributes, since);
      const made = this.table.get(entry.node);
      if (made !== undefined) made.hasNoXattrs = true;
    }
    if (result.attributes.type !== 'file') throw new SystemError(ERRNO.EEXIST);
    const open = await this.open(entry.node, result.created ? flags & ~O.TRUNC : flags, false);
    return { entry, open };
  }

  #openHandle(node: Node, flags: number): OpenReply {
    const isWriter = (flags & O.ACCMODE) !== O.RDONLY;
    const handle = this.#nextHandle++;
    const isSync = (flags & O.DSYNC) !== 0;
    this.#handles.set(handle, { node, isWriter, isAppend: (flags & O.APPEND) !== 0, isSync });
    node.opens += 1;
    this.#closed.delete(node);
    const file = this.#file(node);
    if (isWriter) file.writers += 1;
    const generation = file.generation ?? node.attributes.generation;
    const keepCache = file.isDirty || node.pageGeneration === generation;
    if (!file.isDirty) node.pageGeneration = generation;
    return { handle, keepCache, directIo: false, noFlush: !isWriter };
  }

  read(_id: number, handle: number, offset: number, size: number): Awaitable<readonly Uint8Array[]> {
    return this.#file(this.#handle(handle).node).read(offset, size);
  }

  async #appendLoaded(id: number, handle: number, offset: number, bytes: Uint8Array, killPrivileges: boolean): Promise<number> {
    await this.#file(this.#handle(handle).node).load();
    return this.write(id, handle, offset, bytes, killPrivileges);
  }

  write(id: number, handle: number, offset: number, bytes: Uint8Array, killPrivileges: boolean): Awaitable<number> {
    const { node, isAppend, isSync } = this.#handle(handle);
    const file = this.#file(node);
    if (offset + bytes.length > FILE_BYTES_MAX) throw new SystemError(ERRNO.EFBIG);
    if (isAppend && !file.isLoaded && !node.isGone) return this.#appendLoaded(id, handle, offset, new Uint8Array(bytes), killPrivileges);
    // The kernel places an append at the size it knows; ours is the newer one when another client changed the file.
    const at = isAppend ? Math.max(offset, file.size) : offset;
    const wait = file.write(at, bytes);
    const length = bytes.length;
    const kill = killPrivileges && node.attributes.mode & (SETUID | SETGID) ? this.#killPrivileges(node) : undefined;
    if (wait === undefined && kill === undefined && !isSync) return length;
    return Promise.all([wait, kill])
      .then(() => (isSync ? this.fsync(node.id) : undefined))
      .then(() => length);
  }

  async flush(_id: number, handle: number): Promise<void> {
    const { node, isWriter } = this.#handle(handle);
    if (isWriter) await node.file?.flush();
  }

  release(_id: number, number: number): Awaitable<void> {
    const handle = this.#handles.get(number);
    if (handle === undefined) return undefined;
    this.#handles.delete(number);
    const { node } = handle;
    const file = this.#file(node);
    node.opens -= 1;
    if (handle.isWriter) file.writers -= 1;
    if (node.opens > 0) return undefined;
    if (node.isGone) file.abandon();
    // What was mapped and written after the last flush is published now; nobody waits for it.
    if (file.isDirty) void this.#flushClosed(node, file);
    else this.#keepClosed(node);
    return undefined;
  }

  async #flushClosed(node: Node, file: FileState): Promise<void> {
    try {
      await file.flush();
    } catch (error) {
      const name = node.name === undefined ? `inode ${node.ino}` : Buffer.from(node.name).toString();
      this.context.log(
        `what was last written to ${name} could not be published: ${error instanceof Error ? error.message : String(error)}`,
      );
      if (node.opens === 0) file.abandon();
    }
    if (node.opens === 0) this.#keepClosed(node);
  }

  #keepClosed(node: Node): void {
    if (this.table.removeIfUnused(node)) return;
    this.#closed.add(node);
    for (const oldest of this.#closed) {
      if (this.#closed.size <= CLOSED_FILES_MAX) break;
      this.#closed.delete(oldest);
      if (oldest.file?.isBusy !== true) oldest.file = undefined;
    }
  }

  async fsync(id: number): Promise<void> {
    await this.#node(id).file?.flush();
    await this.context.settle();
  }

  async fallocate(_id: number, handle: number, mode: number, offset: number, length: number): Promise<void> {
    const { node } = this.#handle(handle);
    const file = this.#file(node);
    const end = offset + length;
    if (end > FILE_BYTES_MAX) throw new SystemError(ERRNO.EFBIG);
    const keepsSize = (mode & FALLOC_KEEP_SIZE) !== 0;
    switch (mode & ~FALLOC_KEEP_SIZE) {
      case 0:
        if (!keepsSize && end > file.size) await file.truncate(end);
        return;
      case FALLOC_PUNCH_HOLE:
        return file.zero(offset, end, false);
      case FALLOC_ZERO_RANGE:
        return file.zero(offset, end, !keepsSize);
      default:
        throw new SystemError(ERRNO.EOPNOTSUPP);
    }
  }

  async seek(_id: number, handle: number, offset: number, what: 'data' | 'hole'): Promise<number> {
    const found = await this.#file(this.#handle(handle).node).seek(offset, what);
    // lseek(2): beyond the end, and no data behind the offset.
    if (found === undefined) throw new SystemError(ENXIO);
    return found;
  }

  /* --------------------------------------------------------- directories */

  opendir(id: number): number {
    const handle = this.#nextHandle++;
    this.#listings.set(handle, new DirectoryListing(this.#node(id), this.context, () => this.table.now));
    return handle;
  }

  async readdir(id: number, handle: number, cookie: number, plus: boolean, sink: EntrySink): Promise<void> {
    const listing = this.#listings.get(handle);
    if (listing === undefined) throw new SystemError(ERRNO.EINVAL);
    const { node } = listing;
    if (cookie === 0) {
      listing.rewind();
      if (!sink.add(DOT, node.ino, INODE_TYPE_BITS.directory, 1)) return;
    }
    if (cookie <= 1) {
      const parent = this.table.get(node.parent)?.ino ?? node.ino;
      if (!sink.add(DOT_DOT, parent, INODE_TYPE_BITS.directory, 2)) return;
    }
    for (let number = Math.max(0, cookie - 2); ; number++) {
      // What is at hand is answered; only a reply without entries waits for the next page.
      const found = listing.peek(number) ?? ((await listing.fetch(number)) ? listing.peek(number) : undefined);
      if (found === undefined) return;
      const { name, ino, type, attributes } = found;
      const bits = INODE_TYPE_BITS[type];
      if (!plus || attributes === undefined) {
        if (!sink.add(name, ino, bits, number + 3)) return;
        continue;
      }
      const entry = this.#entry(attributes, id, name, listing.loadedAt);
      if (!sink.add(name, ino, bits, number + 3, entry)) {
        this.forget(entry.node, 1);
        return;
      }
    }
  }

  releasedir(_id: number, handle: number): void {
    this.#listings.delete(handle);
  }

  async fsyncdir(): Promise<void> {
    await this.context.settle();
  }

  /* ---------------------------------------------------------- filesystem */

  async statfs(): Promise<FileSystemStatistics> {
    const { bytesUsed, bytesFree, inodesUsed, inodesFree } = await this.context.read('statfs', {});
    return {
      blockBytes: STATFS_BLOCK_BYTES,
      blocks: Math.floor((bytesUsed + bytesFree) / STATFS_BLOCK_BYTES),
      blocksFree: Math.floor(bytesFree / STATFS_BLOCK_BYTES),
      inodes: inodesUsed + inodesFree,
      inodesFree,
    };
  }

  /** Publishes everything that is dirty and waits until it is durable; rejects with the first failure after trying all. */
  async syncfs(): Promise<void> {
    const dirty = [...this.table.nodes()].flatMap((node) => (node.file?.isBusy === true ? [node.file] : []));
    const results = await Promise.allSettled(dirty.map((file) => file.flush()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    await this.context.settle();
  }

  getxattr(id: number, name: Uint8Array): Awaitable<Uint8Array> {
    // The kernel asks for POSIX access lists of every file that is listed; there are none.
    if (isSystemName(name)) throw new SystemError(ERRNO.EOPNOTSUPP);
    const node = this.#node(id);
    // It also asks for capabilities before the first write to a file.
    if (node.hasNoXattrs) throw new SystemError(ERRNO.ENODATA);
    return this.#xattr(node, name);
  }

  async #xattr(node: Node, name: Uint8Array): Promise<Uint8Array> {
    if (isSecurityName(name)) {
      const names = await this.#xattrNames(node);
      if (!names.some((known) => Buffer.compare(known, name) === 0)) throw new SystemError(ERRNO.ENODATA);
    }
    return (await this.context.read('xattr-get', { node: { ino: node.ino }, name })).value;
  }

  async #xattrNames(node: Node): Promise<readonly Uint8Array[]> {
    if (node.hasNoXattrs) return [];
    const since = this.table.now;
    const { names } = await this.context.read('xattr-list', { node: { ino: node.ino } });
    if (this.table.isUnchangedSince(node, since)) node.hasNoXattrs = names.length === 0;
    return names;
  }

  listxattr(id: number): Promise<readonly Uint8Array[]> {
    return this.#xattrNames(this.#node(id));
  }

  async setxattr(id: number, name: Uint8Array, value: Uint8Array, mode: 'set' | 'create' | 'replace'): Promise<void> {
    if (isSystemName(name)) throw new SystemError(ERRNO.EOPNOTSUPP);
    const node = this.#node(id);
    node.hasNoXattrs = false;
    await this.context.mutate('xattr-set', { node: { ino: node.ino }, name, value, mode });
    this.#xattrsChanged(node);
  }

  async removexattr(id: number, name: Uint8Array): Promise<void> {
    if (isSystemName(name)) throw new SystemError(ERRNO.EOPNOTSUPP);
    const node = this.#node(id);
    await this.context.mutate('xattr-remove', { node: { ino: node.ino }, name });
    this.#xattrsChanged(node);
  }

  #xattrsChanged(node: Node): void {
    node.hasNoXattrs = false;
    this.table.touch(node);
  }

  /* ------------------------------------------------------------- helpers */

  #node(id: number): Node {
    const node = this.table.get(id);
    if (node === undefined) throw new SystemError(ERRNO.ENOENT, `the kernel asks for node ${id}, which it has forgotten`);
    return node;
  }

  #handle(number: number): Handle {
    const handle = this.#handles.get(number);
    if (handle === undefined) throw new SystemError(EBADF);
    return handle;
  }

  #file(node: Node): FileState {
    return (node.file ??= new FileState(node, this.context));
  }

  #owner(directory: Node, caller: Caller): { uid: number; gid: number } {
    const { mode, gid } = directory.attributes;
    return { uid: caller.uid, gid: mode & SETGID ? gid : caller.gid };
  }

  async #killPrivileges(node: Node): Promise<void> {
    const mode = this.#modeAfter(node, { killPrivileges: true }, true);
    if (mode !== undefined) await this.#sendSetattr(node, { mode });
  }

  /** An entry for the kernel: counts one lookup. */
  #entry(attributes: Attributes, parent: number, name: Uint8Array, since: number): Entry {
    const node = this.table.remember(attributes, since);
    // The root of a mount of a subtree cannot be met inside itself.
    if (node.id === ROOT_NODE_ID) throw new SystemError(ERRNO.ELOOP);
    node.file?.follow(node.attributes);
    node.lookups += 1;
    node.parent = parent;
    node.name = name;
    return { node: node.id, ...this.#attributesReply(node, since) };
  }

  #accept(node: Node, attributes: Attributes, since: number): void {
    this.table.accept(node, attributes, since);
    node.file?.follow(node.attributes);
  }

  /** What is being written changes with every call: the kernel is to ask again. */
  #attributesReply(node: Node, since: number): AttributesReply {
    const { file } = node;
    const isChanging = file?.isBusy === true;
    const attributes = file === undefined ? node.attributes : file.shown(node.attributes);
    return {
      attributes: node.isGone ? { ...attributes, nlink: 0 } : attributes,
      timeoutMs: isChanging ? 0 : this.#timeout(since),
    };
  }

  #timeout(since: number): number {
    return this.isLive && this.table.isQuietSince(since) ? this.options.cacheTimeoutMs : 0;
  }

  #markGone(node: Node): void {
    node.isGone = true;
    this.table.detach(node);
  }
}

/** asm-generic/errno-base.h */
const EBADF = 9;
const ENXIO = 6;

function isSystemName(name: Uint8Array): boolean {
  return Buffer.compare(name.subarray(0, SYSTEM_NAMES.length), SYSTEM_NAMES) === 0;
}

function isSecurityName(name: Uint8Array): boolean {
  return Buffer.compare(name.subarray(0, SECURITY_NAMES.length), SECURITY_NAMES) === 0;
}
