/**
 * A namespace in memory behind the `Plane` port: directories, files with all their generations, symlinks. Resolution,
 * order of names and errors are those of the real planes; it passes the same conformance suite.
 */
import {
  INODE_TYPE_BITS,
  NokvError,
  compareBytes,
  formatName,
  generation as toGeneration,
  inodeNumber,
  joinPath,
  parseName,
  splitPath,
  type Clock,
  type Generation,
  type NodeCard,
  type Timespec,
} from '@nokv/types';
import { createHash } from 'node:crypto';
import type { Plane, PlaneBody, PlaneEntry, PlaneOptions, PlanePage } from '../plane.js';
import { PLANE_READ_BYTES_MAX } from '../plane.js';

const SYMLINKS_MAX = 40;
const STREAM_CHUNK_BYTES = 64 * 1024;

interface MemoryNode {
  readonly ino: number;
  readonly type: 'file' | 'directory' | 'symlink';
  mode: number;
  uid: number;
  gid: number;
  mtime: Timespec;
  ctime: Timespec;
  revision: number;
  readonly bodies: Map<number, Uint8Array>;
  current: number;
  ordinal: number;
  contentType?: string;
  readonly target?: Uint8Array;
  /** Children by their latin1 name: a map key that keeps bytes. */
  readonly children: Map<string, MemoryNode>;
}

export interface WriteOptions {
  readonly contentType?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly mtime?: Timespec;
}

export class MemoryPlane implements Plane {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #root: MemoryNode;
  #inodes = 0;
  #versions = 0;
  /** Bytes of bodies that `read` and `stream` handed out, for tests that count. */
  bytesRead = 0;
  /** Calls of `stat`, `list` and `open`, for tests that count. */
  calls = { stat: 0, list: 0, open: 0 };

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#root = this.#make('directory', 0o755);
  }

  /** Makes a directory with its parents. */
  mkdir(path: string): void {
    let node = this.#root;
    for (const name of splitPath(parseName(path))) {
      const key = latin1(name);
      let child = node.children.get(key);
      if (child === undefined) {
        child = this.#make('directory', 0o755);
        this.#attach(node, key, child);
      }
      if (child.type !== 'directory') throw new NokvError('not-directory', `${path}: a component is no directory`);
      node = child;
    }
  }

  /** Publishes a body, making parents; returns its generation. */
  write(path: string, body: Uint8Array | string, options: WriteOptions = {}): Generation {
    const { parent, key } = this.#place(path);
    let node = parent.children.get(key);
    if (node === undefined) {
      node = this.#make('file', options.mode ?? 0o644);
      this.#attach(parent, key, node);
    }
    if (node.type !== 'file') throw new NokvError('is-directory', `${path} is a ${node.type}`);
    this.#versions += 1;
    node.current = this.#versions;
    node.ordinal += 1;
    node.revision += 1;
    node.mtime = options.mtime ?? this.#clock.now();
    node.ctime = this.#clock.now();
    if (options.contentType !== undefined) node.contentType = options.contentType;
    if (options.mode !== undefined) node.mode = options.mode;
    if (options.uid !== undefined) node.uid = options.uid;
    node.bodies.set(node.current, typeof body === 'string' ? new TextEncoder().encode(body) : body.slice());
    return toGeneration(node.current);
  }

  symlink(path: string, target: string): void {
    const { parent, key } = this.#place(path);
    this.#attach(parent, key, this.#make('symlink', 0o777, parseName(target)));
  }

  remove(path: string): void {
    const { parent, key } = this.#place(path);
    if (!parent.children.delete(key)) throw notFound(path);
  }

  async stat(path: string, options: PlaneOptions & { readonly follow?: boolean } = {}): Promise<PlaneEntry> {
    checkSignal(options.signal);
    this.calls.stat += 1;
    const node = this.#resolve(path, options.follow ?? true);
    const normal = formatName(joinPath(splitPath(parseName(path))));
    return entryOf(normal, node);
  }

  async list(path: string, options: PlaneOptions & { readonly after?: string; readonly limit: number }): Promise<PlanePage> {
    checkSignal(options.signal);
    this.calls.list += 1;
    const node = this.#resolve(path, true);
    if (node.type !== 'directory') throw new NokvError('not-directory', `${path} is a ${node.type}, not a directory`);
    const base = formatName(joinPath(splitPath(parseName(path))));
    const after = options.after === undefined ? undefined : parseName(options.after);
    const names = [...node.children.keys()]
      .map((key) => Buffer.from(key, 'latin1'))
      .filter((name) => after === undefined || compareBytes(name, after) > 0)
      .toSorted(compareBytes);
    const page = names.slice(0, options.limit).map((name) => {
      const child = node.children.get(latin1(name));
      if (child === undefined) throw notFound(path);
      return entryOf(`${base === '/' ? '' : base}/${formatName(name)}`, child);
    });
    return { entries: page, more: names.length > page.length };
  }

  async open(path: string, options: PlaneOptions & { readonly generation?: number } = {}): Promise<PlaneBody> {
    checkSignal(options.signal);
    this.calls.open += 1;
    const node = this.#resolve(path, true);
    if (node.type !== 'file') throw new NokvError('is-directory', `${path} is a directory; name a file`);
    const generation = options.generation ?? node.current;
    const bytes = node.bodies.get(generation);
    if (bytes === undefined)
      throw new NokvError('not-found', `${path} has no generation ${generation}; the current one is ${node.current}`);
    const entry = entryOf(formatName(joinPath(splitPath(parseName(path)))), node);
    const count = (length: number): void => {
      this.bytesRead += length;
    };
    return {
      entry,
      generation,
      size: bytes.length,
      async read(offset, length, readOptions) {
        checkSignal(readOptions?.signal);
        if (length > PLANE_READ_BYTES_MAX)
          throw new NokvError('too-large', `a read has at most ${PLANE_READ_BYTES_MAX} bytes, found ${length}`);
        const part = bytes.slice(offset, offset + length);
        count(part.length);
        return part;
      },
      async *stream(offset, streamOptions) {
        for (let at = offset; at < bytes.length; at += STREAM_CHUNK_BYTES) {
          checkSignal(streamOptions?.signal);
          const part = bytes.slice(at, at + STREAM_CHUNK_BYTES);
          count(part.length);
          yield part;
        }
      },
    };
  }

  #make(type: MemoryNode['type'], mode: number, target?: Uint8Array): MemoryNode {
    const now = this.#clock.now();
    this.#inodes += 1;
    return {
      ino: this.#inodes,
      type,
      mode,
      uid: 0,
      gid: 0,
      mtime: now,
      ctime: now,
      revision: 1,
      bodies: new Map(),
      current: 0,
      ordinal: 0,
      children: new Map(),
      ...(target === undefined ? {} : { target }),
    };
  }

  #attach(parent: MemoryNode, key: string, child: MemoryNode): void {
    if (parent.children.has(key)) throw new NokvError('exists', `${formatName(Buffer.from(key, 'latin1'))} exists`);
    parent.children.set(key, child);
    parent.mtime = child.ctime;
    parent.ctime = child.ctime;
    parent.revision += 1;
  }

  #place(path: string): { parent: MemoryNode; key: string } {
    const names = splitPath(parseName(path));
    const last = names.pop();
    if (last === undefined) throw new NokvError('invalid-path', 'the root cannot be replaced');
    const directory = formatName(joinPath(names));
    this.mkdir(directory);
    return { parent: this.#resolve(directory, true), key: latin1(last) };
  }

  #resolve(path: string, follow: boolean): MemoryNode {
    let pending = splitPath(parseName(path));
    const trail: MemoryNode[] = [this.#root];
    let links = 0;
    while (pending.length > 0) {
      const [name, ...rest] = pending as [Uint8Array, ...Uint8Array[]];
      pending = rest;
      const text = Buffer.from(name).toString('latin1');
      if (text === '.') continue;
      if (text === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const directory = trail.at(-1);
      if (directory === undefined || directory.type !== 'directory') {
        throw new NokvError('not-directory', `${path}: a component before the last is no directory`);
      }
      const child = directory.children.get(text);
      if (child === undefined) throw notFound(path);
      if (child.target === undefined || (rest.length === 0 && !follow)) {
        trail.push(child);
        continue;
      }
      links += 1;
      if (links > SYMLINKS_MAX) throw new NokvError('symlink-loop', `${path}: more than ${SYMLINKS_MAX} symlinks`);
      if (child.target[0] === 0x2f) trail.length = 1;
      pending = [...targetNames(child.target), ...rest];
    }
    return trail.at(-1) ?? this.#root;
  }
}

/** Names of a symlink's target; `.` and `..` stay, for they are resolved where the link leads. */
function targetNames(target: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let start = 0;
  for (let end = 0; end <= target.length; end++) {
    if (end < target.length && target[end] !== 0x2f) continue;
    if (end > start) names.push(target.subarray(start, end));
    start = end + 1;
  }
  return names;
}

function entryOf(path: string, node: MemoryNode): PlaneEntry {
  const body = node.bodies.get(node.current);
  const size = node.target?.length ?? body?.length ?? 0;
  const card: NodeCard = {
    ino: inodeNumber(node.ino),
    type: node.type,
    mode: node.mode & ~INODE_TYPE_BITS[node.type] & 0o7777,
    uid: node.uid,
    gid: node.gid,
    nlink: node.type === 'directory' ? 2 : 1,
    size,
    blocks: Math.ceil(size / 512),
    atime: node.mtime,
    mtime: node.mtime,
    ctime: node.ctime,
    rdev: 0,
    revision: node.revision,
    generation: toGeneration(node.current),
    ordinal: node.ordinal,
    children: node.children.size,
    inline: true,
    xattrs: [],
    ...(body === undefined ? {} : { digest: `sha256:${createHash('sha256').update(body).digest('hex')}` }),
    ...(node.contentType === undefined ? {} : { contentType: node.contentType }),
    ...(node.target === undefined ? {} : { target: node.target }),
  };
  return { path, name: path.slice(path.lastIndexOf('/') + 1), card };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function notFound(path: string): NokvError {
  return new NokvError('not-found', `${path} does not exist`);
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new NokvError('cancelled', 'the call was cancelled', { cause: signal.reason });
}
