/** What reads see: decoded rows of the shard's view, each read afresh. */
import type { Attributes, Caller, Generation, InodeNumber } from '@nokv/types';
import { refuseShownByOrigin, untilUnmaterialised } from './history/past-view.js';
import { FAMILY, NAME_AT, bodyKey, dentryKey, inodeKey, keyAfter, numberEnd, numberStart, xattrKey } from './key.js';
import type { KvEntry } from './ordered-kv.js';
import { rowId, type ShardView } from './overlay.js';
import type { NodeReader } from './resolve.js';
import { readU64 } from './row-reader.js';
import { copyBytes } from './row-writer.js';
import { decodeBody, decodeBodyHead, decodeXattr, type BodyHead, type BodyRow } from './value-body.js';
import { decodeDentry, decodeDentryAttributes, decodeInode, toAttributes, type Dentry, type Inode } from './value-inode.js';

/** What the read operations read: the namespace now, or as it was. */
export interface NamespaceView extends NodeReader {
  /** Undefined where nothing is. */
  attributesAt(parent: InodeNumber, name: Uint8Array): Attributes | undefined;
  /** The attributes behind the row of an entry. */
  attributesOf(entry: Uint8Array): Attributes | undefined;
  /** Whether the rows of entries hold attributes, so that they can be shown without another read. */
  readonly repeatsAttributes: boolean;
  /** Rows of a directory's entries after a name, in byte order; values are valid until the next read. */
  entryRows(directory: Inode, after: Uint8Array | undefined): Iterable<KvEntry>;
  links(ino: InodeNumber): Iterable<{ readonly parent: InodeNumber; readonly name: Uint8Array }>;
  xattr(ino: InodeNumber, name: Uint8Array): Uint8Array | undefined;
  xattrs(ino: InodeNumber): Iterable<{ readonly name: Uint8Array; readonly value: Uint8Array }>;
  body(ino: InodeNumber, generation: Generation): BodyRow | undefined;
  bodyHead(ino: InodeNumber, generation: Generation): BodyHead | undefined;
  /** Whether an inode that is there may be shown. */
  shows(ino: InodeNumber): boolean;
}

export class ReadView implements NamespaceView {
  readonly repeatsAttributes = true;
  readonly root: InodeNumber;
  /** Set for the time of one read. */
  caller: Caller | undefined = undefined;
  readonly view: ShardView;

  constructor(view: ShardView, root: InodeNumber) {
    this.view = view;
    this.root = root;
  }

  inode(ino: InodeNumber): Inode | undefined {
    const bytes = this.view.get(inodeKey(ino));
    return bytes === undefined ? undefined : decodeInode(ino, bytes);
  }

  entry(parent: InodeNumber, name: Uint8Array): Dentry | undefined {
    const bytes = this.view.get(dentryKey(parent, name));
    if (bytes !== undefined) return decodeDentry(bytes);
    this.#refuseLazy(parent, name);
    return undefined;
  }

  /** One get for a file with one name, two for the rest. */
  attributesAt(parent: InodeNumber, name: Uint8Array): Attributes | undefined {
    const bytes = this.view.get(dentryKey(parent, name));
    if (bytes !== undefined) return this.attributesOf(bytes);
    this.#refuseLazy(parent, name);
    return undefined;
  }

  /** The attributes behind an entry, from the entry itself where it repeats them. */
  attributesOf(entry: Uint8Array): Attributes | undefined {
    const repeated = decodeDentryAttributes(entry);
    if (repeated !== undefined) return repeated;
    const inode = this.inode(decodeDentry(entry).ino);
    return inode === undefined ? undefined : toAttributes(inode);
  }

  body(ino: InodeNumber, generation: Generation): BodyRow | undefined {
    const bytes = this.view.get(bodyKey(ino, generation));
    return bytes === undefined ? undefined : decodeBody(bytes);
  }

  entryRows(directory: Inode, after: Uint8Array | undefined): Iterable<KvEntry> {
    const { ino } = directory;
    const start = after === undefined ? numberStart(FAMILY.dentry, ino) : keyAfter(dentryKey(ino, after));
    const rows = this.view.range(start, numberEnd(FAMILY.dentry, ino));
    return directory.isLazy ? untilUnmaterialised(this.view, directory, rows) : rows;
  }

  *links(ino: InodeNumber): Generator<{ readonly parent: InodeNumber; readonly name: Uint8Array }> {
    for (const { key } of this.view.range(numberStart(FAMILY.link, ino), numberEnd(FAMILY.link, ino))) {
      yield { parent: readU64(key, 9) as InodeNumber, name: copyBytes(key, 17, key.length) };
    }
  }

  xattr(ino: InodeNumber, name: Uint8Array): Uint8Array | undefined {
    const bytes = this.view.get(xattrKey(ino, name));
    return bytes === undefined ? undefined : decodeXattr(bytes);
  }

  *xattrs(ino: InodeNumber): Generator<{ readonly name: Uint8Array; readonly value: Uint8Array }> {
    for (const { key, value } of this.view.range(numberStart(FAMILY.xattr, ino), numberEnd(FAMILY.xattr, ino))) {
      yield { name: copyBytes(key, NAME_AT, key.length), value: decodeXattr(value) };
    }
  }

  shows(): boolean {
    return true;
  }

  bodyHead(ino: InodeNumber, generation: Generation): BodyHead | undefined {
    const bytes = this.view.get(bodyKey(ino, generation));
    return bytes === undefined ? undefined : decodeBodyHead(bytes);
  }

  /** The value that the last unflushed write of an inode replaced; history holds it once flushed. */
  replacedInode(ino: InodeNumber): Inode | undefined {
    return this.view.overlaid(rowId(inodeKey(ino)))?.replaced as Inode | undefined;
  }

  /** An entry that is missing may be one that a directory of a fork has not taken over yet. */
  #refuseLazy(parent: InodeNumber, name: Uint8Array): void {
    if (this.inode(parent)?.isLazy === true) refuseShownByOrigin(this.view, parent, name);
  }
}
