/**
 * Messages that the filesystem sends unasked: fuse_out_header with unique 0 and the code in the place of the error.
 * inode: ino u64, offset i64, length i64 (offset below 0: attributes only). entry: parent u64, name length u32, flags u32, name, NUL.
 */
import { Notify, OUT_HEADER_BYTES } from './protocol.js';

export function invalidateInodeMessage(node: number, data: boolean): Uint8Array {
  const message = new Uint8Array(OUT_HEADER_BYTES + 24);
  const view = header(message, Notify.INVAL_INODE);
  view.setBigUint64(16, BigInt(node), true);
  view.setBigInt64(24, data ? 0n : -1n, true);
  // Length 0 from offset 0 means all pages.
  view.setBigInt64(32, 0n, true);
  return message;
}

export function invalidateEntryMessage(parent: number, name: Uint8Array): Uint8Array {
  const message = new Uint8Array(OUT_HEADER_BYTES + 16 + name.length + 1);
  const view = header(message, Notify.INVAL_ENTRY);
  view.setBigUint64(16, BigInt(parent), true);
  view.setUint32(24, name.length, true);
  message.set(name, 32);
  return message;
}

function header(message: Uint8Array, code: number): DataView {
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setInt32(4, code, true);
  return view;
}
