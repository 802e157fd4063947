/** What reads see: decoded rows of the shard's view, each read afresh. */
import type { Attributes, Generation, InodeNumber } from '@nokv/types';
import { bodyKey, dentryKey, inodeKey } from './key.js';
import { rowId, type ShardView } from './overlay.js';
import type { NodeReader } from './resolve.js';
import { decodeBody, decodeBodyHead, type BodyRow } from './value-body.js';
import { decodeDentry, decodeDentryAttributes, decodeInode, toAttributes, type Dentry, type Inode } from './value-inode.js';

export class ReadView implements NodeReader {
  readonly root: InodeNumber;
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
    return bytes === undefined ? undefined : decodeDentry(bytes);
  }

  /** One get for a file with one name, two for the rest. */
  attributesAt(parent: InodeNumber, name: Uint8Array): Attributes | undefined {
    const bytes = this.view.get(dentryKey(parent, name));
    return bytes === undefined ? undefined : this.attributesOf(bytes);
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

  bodyHead(ino: InodeNumber, generation: Generation): ReturnType<typeof decodeBodyHead> | undefined {
    const bytes = this.view.get(bodyKey(ino, generation));
    return bytes === undefined ? undefined : decodeBodyHead(bytes);
  }

  /** The value that the last unflushed write of an inode replaced; history holds it once flushed. */
  replacedInode(ino: InodeNumber): Inode | undefined {
    const before = this.view.overlaid(rowId(inodeKey(ino)))?.before;
    return before === undefined ? undefined : decodeInode(ino, before);
  }
}
