/**
 * The result of a mutation as its request row keeps it: operation number (in the row), then by operation
 * - mkdir, create, symlink, publish-tree, publish, link, setattr: created u8 (0 for the last two), ino u64, attributes
 *   (value-inode.ts, with whole 512-byte units as allocated bytes)
 * - unlink: ino u64, nlink u32; rmdir, remove-tree, rename, xattr-set, xattr-remove: ino u64
 * - snapshot-*, tag-*, rollback, prune, merge: the result in MessagePack, objects as maps of their fields in the order of their types
 * - clone, undelete as mkdir; revert as publish; retention-set as rmdir
 * - transact: count u16, then for each operation its number u8, length of its result u32, its result
 * - begin-upload, renew-upload: upload id, expiry; end-upload: upload id; begin-tree: root u64, name to the end
 * - open-session, renew-session: session id, expiry; close-session: session id; lock, unlock: ino u64; open-handle: as setattr;
 *   close-handle: ino u64, removed u8
 */
import {
  unreachable,
  type Attributes,
  type InodeNumber,
  type MutationOperation,
  type MutationOperations,
  type MutationResult,
  type SessionId,
  type UploadId,
} from '@nokv/types';
import { Packr } from 'msgpackr';
import { RowReader, corruptRow } from './row-reader.js';
import { RowWriter } from './row-writer.js';
import { ATTRIBUTES_BYTES_MAX } from './value-attributes.js';
import { readShownAttributes, writeShownAttributes } from './value-inode.js';

/** Numbers of operations in request rows; a new operation gets the next number. */
const OPERATIONS: readonly MutationOperation[] = [
  'mkdir',
  'create',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'remove-tree',
  'rename',
  'setattr',
  'xattr-set',
  'xattr-remove',
  'begin-upload',
  'renew-upload',
  'end-upload',
  'publish',
  'begin-tree',
  'publish-tree',
  'snapshot-create',
  'snapshot-renew',
  'snapshot-retire',
  'tag-set',
  'tag-remove',
  'clone',
  'rollback',
  'revert',
  'undelete',
  'prune',
  'retention-set',
  'merge',
  'transact',
  'open-session',
  'renew-session',
  'close-session',
  'lock',
  'unlock',
  'open-handle',
  'close-handle',
];

export function operationNumber(operation: MutationOperation): number {
  return OPERATIONS.indexOf(operation);
}

export type AnyMutationResult = MutationOperations[MutationOperation]['result'];

const writer = new RowWriter();

/** @param result that of `operation`. */
export function encodeResult(operation: MutationOperation, result: AnyMutationResult): Buffer {
  switch (operation) {
    case 'mkdir':
    case 'create':
    case 'symlink':
    case 'publish-tree':
    case 'publish':
    case 'link':
    case 'clone':
    case 'revert':
    case 'undelete':
    case 'open-handle':
    case 'setattr': {
      const { attributes, created } = result as { attributes: Attributes; created?: boolean };
      const row = writer
        .begin(9 + ATTRIBUTES_BYTES_MAX)
        .u8(created === true ? 1 : 0)
        .u64(attributes.ino);
      return writeShownAttributes(row, attributes).end();
    }
    case 'unlink': {
      const { ino, nlink } = result as MutationResult<'unlink'>;
      return writer.begin(12).u64(ino).u32(nlink).end();
    }
    case 'rmdir':
    case 'remove-tree':
    case 'rename':
    case 'xattr-set':
    case 'xattr-remove':
    case 'retention-set':
    case 'lock':
    case 'unlock':
      return writer
        .begin(8)
        .u64((result as MutationResult<'rmdir'>).ino)
        .end();
    case 'begin-upload':
    case 'renew-upload': {
      const { upload, expiresAt } = result as MutationResult<'begin-upload'>;
      return writer.begin(28).hex16(upload).time(expiresAt).end();
    }
    case 'end-upload':
      return writer
        .begin(16)
        .hex16((result as MutationResult<'end-upload'>).upload)
        .end();
    case 'open-session':
    case 'renew-session': {
      const { session, expiresAt } = result as MutationResult<'open-session'>;
      return writer.begin(28).hex16(session).time(expiresAt).end();
    }
    case 'close-session':
      return writer
        .begin(16)
        .hex16((result as MutationResult<'close-session'>).session)
        .end();
    case 'close-handle': {
      const { ino, removed } = result as MutationResult<'close-handle'>;
      return writer
        .begin(9)
        .u64(ino)
        .u8(removed ? 1 : 0)
        .end();
    }
    case 'begin-tree': {
      const { root, name } = result as MutationResult<'begin-tree'>;
      return writer
        .begin(8 + name.length)
        .u64(root)
        .bytes(name)
        .end();
    }
    case 'snapshot-create':
    case 'snapshot-renew':
    case 'snapshot-retire':
    case 'tag-set':
    case 'tag-remove':
    case 'rollback':
    case 'prune':
    case 'merge':
      return packResult(result);
    case 'transact':
      return encodeResults((result as MutationResult<'transact'>).results);
    default:
      return unreachable(operation);
  }
}

function encodeResults(results: MutationResult<'transact'>['results']): Buffer {
  const rows = results.map(({ operation, result }) => ({ number: operationNumber(operation), bytes: encodeResult(operation, result) }));
  writer.begin(2 + rows.reduce((sum, { bytes }) => sum + 5 + bytes.length, 0)).u16(rows.length);
  for (const { number, bytes } of rows) writer.u8(number).u32(bytes.length).bytes(bytes);
  return writer.end();
}

function decodeResults(row: RowReader): MutationResult<'transact'>['results'] {
  return Array.from({ length: row.u16() }, () => {
    const number = row.u8();
    const result = decodeResult(number, row.bytes(row.u32()));
    return { operation: OPERATIONS[number], result } as MutationResult<'transact'>['results'][number];
  });
}

export function decodeResult(operationNumber: number, bytes: Uint8Array): AnyMutationResult {
  const operation = OPERATIONS[operationNumber];
  if (operation === undefined) throw corruptRow(`${operationNumber} is no operation`);
  const row = new RowReader(bytes);
  switch (operation) {
    case 'mkdir':
    case 'create':
    case 'symlink':
    case 'publish-tree':
    case 'publish':
    case 'link':
    case 'clone':
    case 'revert':
    case 'undelete':
    case 'open-handle':
    case 'setattr': {
      const created = row.u8() === 1;
      const ino = row.u64() as InodeNumber;
      const attributes = readShownAttributes(row, ino);
      if (operation === 'link' || operation === 'setattr' || operation === 'open-handle') return { attributes };
      return operation === 'publish' || operation === 'revert'
        ? { attributes, generation: attributes.generation, created }
        : { attributes, created };
    }
    case 'unlink':
      return { ino: row.u64() as InodeNumber, nlink: row.u32() };
    case 'rmdir':
    case 'remove-tree':
    case 'rename':
    case 'xattr-set':
    case 'xattr-remove':
    case 'retention-set':
    case 'lock':
    case 'unlock':
      return { ino: row.u64() as InodeNumber };
    case 'begin-upload':
    case 'renew-upload':
      return { upload: row.hex16() as UploadId, expiresAt: row.time() };
    case 'end-upload':
      return { upload: row.hex16() as UploadId };
    case 'open-session':
    case 'renew-session':
      return { session: row.hex16() as SessionId, expiresAt: row.time() };
    case 'close-session':
      return { session: row.hex16() as SessionId };
    case 'close-handle':
      return { ino: row.u64() as InodeNumber, removed: row.u8() === 1 };
    case 'begin-tree':
      return { root: row.u64() as InodeNumber, name: row.bytes(row.rest) };
    case 'snapshot-create':
    case 'snapshot-renew':
    case 'snapshot-retire':
    case 'tag-set':
    case 'tag-remove':
    case 'rollback':
    case 'prune':
    case 'merge':
      return unpackResult(bytes);
    case 'transact':
      return { results: decodeResults(row) };
    default:
      return unreachable(operation);
  }
}

/** Results of rare operations: plain data, without record extensions, so that equal results give equal bytes. */
const packr = new Packr({ useRecords: false, variableMapSize: true });

function packResult(result: AnyMutationResult): Buffer {
  return Buffer.from(packr.pack(result));
}

function unpackResult(bytes: Uint8Array): AnyMutationResult {
  return packr.unpack(bytes) as AnyMutationResult;
}
