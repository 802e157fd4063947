/**
 * A namespace in memory behind the ports of the core, for tests without a server: one inode table, commits numbered in order,
 * change records, and switches for a server that is away. It keeps the rules that the core relies on and no more.
 */
import type { MetadataClient, Mutated, MutateOptions } from '@nokv/client';
import type {
  AccessResult,
  Attributes,
  Body,
  ChangeKind,
  ChangeRecord,
  EntryRef,
  ErrorCode,
  Generation,
  InodeNumber,
  InodeType,
  MutationOperation,
  MutationOperations,
  NodeRef,
  Owner,
  ReadOperation,
  ReadOperations,
  UploadId,
  Version,
} from '@nokv/types';
import {
  BLOCK_BYTES_DEFAULT,
  INLINE_BYTES_MAX,
  NokvError,
  bodySize,
  compareBytes,
  isHole,
  makeUploadId,
  sliceExtents,
  systemClock,
  systemRandom,
} from '@nokv/types';
import type { BodyAccess, OpenBody } from '../core/body-access.js';

interface MemoryInode {
  attributes: Attributes;
  body: Body;
  readonly bodies: Map<number, Body>;
  readonly entries: Map<string, { readonly name: Uint8Array; readonly ino: InodeNumber }>;
  readonly xattrs: Map<string, Uint8Array>;
  target: Uint8Array;
}

const key = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

export class MemoryNamespace implements BodyAccess {
  readonly blockBytes: number;
  readonly inlineBytesMax: number;
  readonly blocks = new Map<string, Uint8Array>();
  readonly inodes = new Map<InodeNumber, MemoryInode>();
  /** How often each operation was called. */
  readonly calls = new Map<string, number>();
  /** Thrown instead of an answer while set. */
  fault: NokvError | undefined;
  #version = 0;
  /** Set: nothing later is durable. */
  #durable: Version | undefined;
  #connections = 1;
  #kept: readonly (readonly [InodeNumber, MemoryInode])[] = [];
  #nextIno = 3;
  readonly #watchers = new Set<(records: readonly ChangeRecord[]) => void>();

  constructor({
    blockBytes = BLOCK_BYTES_DEFAULT,
    inlineBytesMax = INLINE_BYTES_MAX,
  }: { readonly blockBytes?: number; readonly inlineBytesMax?: number } = {}) {
    this.blockBytes = blockBytes;
    this.inlineBytesMax = inlineBytesMax;
    this.inodes.set(1 as InodeNumber, this.#fresh(1, 'directory', 0o755, { uid: 0, gid: 0 }));
  }

  /** The face that a client of this namespace sees; `actor` shows in change records. */
  client(actor: string): MetadataClient {
    let requests = 0;
    const lastVersion = (): Version => this.#durable ?? (this.#version as Version);
    const connectionsMade = (): number => this.#connections;
    return {
      read: async (operation, args) => {
        this.#count(operation);
        return this.#read(operation, args as never) as never;
      },
      mutate: async (operation, args, options: MutateOptions = {}): Promise<Mutated<never>> => {
        this.#count(operation);
        const version = ++this.#version as Version;
        const records: ChangeRecord[] = [];
        const requestId = options.requestId ?? `${actor}:${requests++}`;
        const emit = (kind: ChangeKind, ino: InodeNumber, where: Partial<ChangeRecord> = {}) =>
          records.push({
            version,
            ordinal: records.length,
            kind,
            ino,
            type: this.#must(ino).attributes.type,
            requestId,
            actor,
            time: systemClock.now(),
            ...where,
          });
        const result = this.#mutate(operation, args as never, version, emit);
        for (const watcher of this.#watchers) watcher(records);
        return { version, result: result as never };
      },
      mutateMany: () => {
        throw new NokvError('unsupported', 'this namespace takes mutations one by one');
      },
      access: async (): Promise<AccessResult> => ({ ways: [], blockBytes: this.blockBytes, inlineBytesMax: this.inlineBytesMax }),
      presignPuts: () => Promise.reject(new NokvError('unsupported', 'this namespace has no signed URLs')),
      presignGets: () => Promise.reject(new NokvError('unsupported', 'this namespace has no signed URLs')),
      waitForLock: async () => {
        throw new NokvError('unsupported', 'this namespace has no locks');
      },
      watch: (options = {}) => this.#watch(options.signal),
      watchPath: () => {
        throw new NokvError('unsupported', 'this namespace is watched by inode alone');
      },
      backup: () => {
        throw new NokvError('unsupported', 'no backups here');
      },
      fsck: () => {
        throw new NokvError('unsupported', 'no checks here');
      },
      shardFigures: () => Promise.reject(new NokvError('unsupported', 'no shard here')),
      serverInfo: () => Promise.reject(new NokvError('unsupported', 'no server here')),
      collect: () => Promise.reject(new NokvError('unsupported', 'no background work here')),
      diff: () => {
        throw new NokvError('unsupported', 'this namespace keeps no past');
      },
      get durableVersion() {
        return lastVersion();
      },
      get connections() {
        return connectionsMade();
      },
      durable: async () => this.#count('durable'),
      close: async () => undefined,
    };
  }

  /** From now on commits are visible only. */
  holdDurability(): void {
    this.#durable = this.#version as Version;
    this.#kept = structuredClone([...this.inodes]);
  }

  /** As after kill -9: what was not durable is gone, and versions go on far above. */
  loseVisible(): void {
    this.inodes.clear();
    for (const [ino, inode] of this.#kept) this.inodes.set(ino, inode);
    this.#version += 1_000_000;
    this.#nextIno += 1000;
    this.#durable = undefined;
    this.#connections += 1;
  }

  /* ---------------------------------------------------------------- bodies */

  open(body: Body): OpenBody {
    return { read: (offset, length) => this.#readBody(body, offset, length) };
  }

  async #readBody(body: Body, offset: number, length: number): Promise<readonly Uint8Array[]> {
    if (body.kind === 'inline') return [body.bytes.subarray(offset, offset + length)];
    const chunks = sliceExtents(body.manifest.extents, offset, offset + length).map((extent) => {
      if (isHole(extent)) return new Uint8Array(extent.take);
      const block = this.blocks.get(`${extent.upload}/${extent.index}`);
      if (block === undefined) throw new NokvError('no-object', 'no such block');
      return block.subarray(extent.offset + extent.skip, extent.offset + extent.skip + extent.take);
    });
    return chunks;
  }

  crc32c(): number {
    return 0;
  }

  async put(upload: UploadId, index: number, bytes: Uint8Array): Promise<void> {
    this.#count('put');
    await Promise.resolve();
    this.blocks.set(`${upload}/${index}`, new Uint8Array(bytes));
  }

  /* ------------------------------------------------------------ operations */

  #count(operation: string): void {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1);
    if (this.fault !== undefined) throw this.fault;
  }

  #read<Op extends ReadOperation>(operation: Op, args: never): unknown {
    switch (operation) {
      case 'lookup': {
        const { parent, name } = args as ReadOperations['lookup']['args'];
        return this.#must(this.#child(parent, name)).attributes;
      }
      case 'getattr':
        return this.#must((args as ReadOperations['getattr']['args']).ino).attributes;
      case 'stat':
        return { ...this.#must(this.#node((args as ReadOperations['stat']['args']).node)).attributes, inline: true, xattrs: [] };
      case 'list': {
        const { node, after, limit } = args as ReadOperations['list']['args'];
        const { entries, attributes } = this.#must(this.#node(node));
        const all = [...entries.values()]
          .toSorted((a, b) => compareBytes(a.name, b.name))
          .filter(({ name }) => after === undefined || compareBytes(name, after) > 0);
        const page = all
          .slice(0, limit)
          .map(({ name, ino }) => ({ name, ino, type: this.#must(ino).attributes.type, attributes: this.#must(ino).attributes }));
        return { directory: attributes.ino, entries: page, more: all.length > limit };
      }
      case 'readlink':
        return { target: this.#must(this.#node((args as ReadOperations['readlink']['args']).node)).target };
      case 'open-read': {
        const { node, generation } = args as ReadOperations['open-read']['args'];
        const inode = this.#must(this.#node(node));
        return {
          attributes: inode.attributes,
          generation: inode.attributes.generation,
          body: generation ? inode.bodies.get(generation) : inode.body,
        };
      }
      case 'xattr-get': {
        const { node, name } = args as ReadOperations['xattr-get']['args'];
        const value = this.#must(this.#node(node)).xattrs.get(key(name));
        if (value === undefined) throw fail('no-xattr');
        return { value };
      }
      case 'xattr-list': {
        const { node } = args as ReadOperations['xattr-list']['args'];
        return { names: [...this.#must(this.#node(node)).xattrs.keys()].map((name) => Buffer.from(name, 'latin1')) };
      }
      case 'statfs':
        return { bytesUsed: 0, inodesUsed: this.inodes.size, bytesFree: 2 ** 40, inodesFree: 2 ** 40 };
      default:
        throw fail('unsupported');
    }
  }

  #mutate(
    operation: MutationOperation,
    args: never,
    version: Version,
    emit: (kind: ChangeKind, ino: InodeNumber, place?: Partial<ChangeRecord>) => unknown,
  ): unknown {
    switch (operation) {
      case 'create':
      case 'mkdir':
      case 'symlink': {
        const { entry, ...rest } = args as MutationOperations['create']['args'];
        const { parent, name } = place(entry);
        const known = this.#must(parent).entries.get(key(name));
        if (known !== undefined) {
          if (operation === 'create' && !rest.exclusive) return { attributes: this.#must(known.ino).attributes, created: false };
          throw fail('exists');
        }
        const type: InodeType = operation === 'mkdir' ? 'directory' : operation === 'symlink' ? 'symlink' : rest.type;
        const inode = this.#fresh(this.#nextIno++, type, operation === 'symlink' ? 0o777 : rest.mode, rest);
        if (operation === 'symlink') inode.target = (args as MutationOperations['symlink']['args']).target;
        inode.attributes = { ...inode.attributes, rdev: rest.rdev ?? 0, size: inode.target.length };
        this.inodes.set(inode.attributes.ino, inode);
        this.#attach(parent, name, inode.attributes.ino, type === 'directory' ? 1 : 0);
        emit('created', inode.attributes.ino, { parent, name });
        return { attributes: inode.attributes, created: true };
      }
      case 'link': {
        const { node, entry } = args as MutationOperations['link']['args'];
        const ino = this.#node(node);
        const { parent, name } = place(entry);
        if (this.#must(parent).entries.has(key(name))) throw fail('exists');
        this.#attach(parent, name, ino, 0);
        const attributes = this.#change(ino, { nlink: this.#must(ino).attributes.nlink + 1 });
        emit('linked', ino, { parent, name });
        return { attributes };
      }
      case 'unlink':
      case 'rmdir': {
        const { parent, name } = place((args as MutationOperations['unlink']['args']).entry);
        const ino = this.#child(parent, name);
        const { attributes, entries } = this.#must(ino);
        if (operation === 'unlink' && attributes.type === 'directory') throw fail('is-directory');
        if (operation === 'rmdir' && attributes.type !== 'directory') throw fail('not-directory');
        if (entries.size > 0) throw fail('not-empty');
        emit('removed', ino, { parent, name });
        return { ino, nlink: this.#detach(parent, name) };
      }
      case 'rename': {
        const { from, to, mode } = args as MutationOperations['rename']['args'];
        const source = place(from);
        const target = place(to);
        const ino = this.#child(source.parent, source.name);
        const replaced = this.#must(target.parent).entries.get(key(target.name));
        if (mode === 'no-replace' && replaced !== undefined) throw fail('exists');
        if (mode === 'exchange') {
          if (replaced === undefined) throw fail('not-found');
          this.#must(source.parent).entries.set(key(source.name), { name: source.name, ino: replaced.ino });
          this.#must(target.parent).entries.set(key(target.name), { name: target.name, ino });
        } else if (replaced?.ino !== ino) {
          if (replaced !== undefined) this.#detach(target.parent, target.name);
          this.#must(source.parent).entries.delete(key(source.name));
          this.#must(target.parent).entries.set(key(target.name), { name: target.name, ino });
        }
        this.#change(ino, {});
        emit('renamed', ino, { ...target, fromParent: source.parent, fromName: source.name });
        return { ino };
      }
      case 'setattr': {
        const { node, size, atime, mtime, ...rest } = args as MutationOperations['setattr']['args'];
        const ino = this.#node(node);
        const now = systemClock.now();
        const { follow: _follow, ...plain } = rest;
        const times = {
          ...(atime === undefined ? {} : { atime: atime === 'now' ? now : atime }),
          ...(mtime === undefined ? {} : { mtime: mtime === 'now' ? now : mtime }),
        };
        this.#change(ino, { ...plain, ...times });
        if (size !== undefined) this.#publish(ino, { kind: 'inline', bytes: resized(this.#must(ino).body, size) }, version);
        emit(size === undefined ? 'attributes' : 'published', ino);
        return { attributes: this.#must(ino).attributes };
      }
      case 'publish': {
        const { node, body, ifGeneration, mtime } = args as MutationOperations['publish']['args'];
        const ino = this.#node(node);
        if (ifGeneration !== undefined && this.#must(ino).attributes.generation !== ifGeneration) throw fail('generation-mismatch');
        this.#publish(ino, body, version);
        this.#change(ino, { mtime: mtime ?? systemClock.now() });
        emit('published', ino);
        return { attributes: this.#must(ino).attributes, generation: version, created: false };
      }
      case 'xattr-set': {
        const { node, name, value } = args as MutationOperations['xattr-set']['args'];
        const ino = this.#node(node);
        this.#must(ino).xattrs.set(key(name), value);
        emit('xattr', ino);
        return { ino };
      }
      case 'xattr-remove': {
        const { node, name } = args as MutationOperations['xattr-remove']['args'];
        const ino = this.#node(node);
        if (!this.#must(ino).xattrs.delete(key(name))) throw fail('no-xattr');
        emit('xattr', ino);
        return { ino };
      }
      case 'begin-upload':
      case 'renew-upload':
      case 'end-upload':
        return { upload: makeUploadId(Date.now(), systemRandom.bytes(10)), expiresAt: systemClock.now(), ticket: '' };
      default:
        throw fail('unsupported');
    }
  }

  #publish(ino: InodeNumber, body: Body, version: Version): void {
    const inode = this.#must(ino);
    inode.body = body.kind === 'inline' ? { kind: 'inline', bytes: new Uint8Array(body.bytes) } : body;
    inode.bodies.set(version, inode.body);
    const size = bodySize(body);
    this.#change(ino, { size, blocks: Math.ceil(size / 512), mtime: systemClock.now(), generation: version as number as Generation });
  }

  #attach(parent: InodeNumber, name: Uint8Array, ino: InodeNumber, links: number): void {
    const { entries, attributes } = this.#must(parent);
    entries.set(key(name), { name: name.slice(), ino });
    this.#change(parent, { nlink: attributes.nlink + links, children: attributes.children + 1, mtime: systemClock.now() });
  }

  #detach(parent: InodeNumber, name: Uint8Array): number {
    const ino = this.#child(parent, name);
    const { attributes } = this.#must(ino);
    const isDirectory = attributes.type === 'directory';
    const above = this.#must(parent);
    above.entries.delete(key(name));
    this.#change(parent, {
      nlink: above.attributes.nlink - (isDirectory ? 1 : 0),
      children: above.attributes.children - 1,
      mtime: systemClock.now(),
    });
    const nlink = isDirectory ? 0 : attributes.nlink - 1;
    this.#change(ino, { nlink });
    if (nlink === 0) this.inodes.delete(ino);
    return nlink;
  }

  #change(ino: InodeNumber, changes: Partial<Attributes>): Attributes {
    const inode = this.#must(ino);
    inode.attributes = { ...inode.attributes, ...changes, ctime: systemClock.now(), revision: inode.attributes.revision + 1 };
    return inode.attributes;
  }

  #node(node: NodeRef): InodeNumber {
    if ('ino' in node) return node.ino;
    if ('parent' in node) return this.#child(node.parent, node.name);
    let ino = 1 as InodeNumber;
    for (const name of Buffer.from(node.path).toString('latin1').split('/'))
      if (name !== '') ino = this.#child(ino, Buffer.from(name, 'latin1'));
    return ino;
  }

  #child(parent: InodeNumber, name: Uint8Array): InodeNumber {
    const { entries, attributes } = this.#must(parent);
    if (attributes.type !== 'directory') throw fail('not-directory');
    const found = entries.get(key(name));
    if (found === undefined) throw fail('not-found');
    return found.ino;
  }

  #must(ino: InodeNumber): MemoryInode {
    const inode = this.inodes.get(ino);
    if (inode === undefined) throw fail('not-found');
    return inode;
  }

  #fresh(ino: number, type: InodeType, mode: number, owner: Owner): MemoryInode {
    const now = systemClock.now();
    const attributes: Attributes = {
      ino: ino as InodeNumber,
      type,
      mode,
      uid: owner.uid,
      gid: owner.gid,
      nlink: type === 'directory' ? 2 : 1,
      size: 0,
      blocks: 0,
      atime: now,
      mtime: now,
      ctime: now,
      rdev: 0,
      revision: 1,
      generation: 0 as Generation,
      ordinal: 0,
      children: 0,
    };
    return {
      attributes,
      body: { kind: 'inline', bytes: new Uint8Array(0) },
      bodies: new Map(),
      entries: new Map(),
      xattrs: new Map(),
      target: new Uint8Array(0),
    };
  }

  async *#watch(signal: AbortSignal | undefined): AsyncGenerator<readonly ChangeRecord[]> {
    const queue: (readonly ChangeRecord[])[] = [];
    let wake: () => void = () => undefined;
    const watcher = (records: readonly ChangeRecord[]) => {
      queue.push(records);
      wake();
    };
    this.#watchers.add(watcher);
    signal?.addEventListener('abort', () => wake(), { once: true });
    try {
      while (signal?.aborted !== true) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#watchers.delete(watcher);
    }
  }
}

function place(entry: EntryRef): { readonly parent: InodeNumber; readonly name: Uint8Array } {
  if ('path' in entry) throw fail('unsupported');
  return entry;
}

function resized(body: Body, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  if (body.kind === 'inline') bytes.set(body.bytes.subarray(0, size));
  return bytes;
}

function fail(code: ErrorCode): NokvError {
  return new NokvError(code, code);
}
