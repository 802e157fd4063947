/** The least framing that carries MessagePack: a length and a message. For the echo floor only. */
import { Packr } from 'msgpackr';

const packr = new Packr({ useRecords: false });

export function frame(message: unknown): Buffer {
  const body = packr.pack(message);
  const bytes = Buffer.allocUnsafe(body.length + 4);
  bytes.writeUInt32LE(body.length, 0);
  body.copy(bytes, 4);
  return bytes;
}

export class FrameReader {
  private rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer): unknown[] {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const messages: unknown[] = [];
    let at = 0;
    while (bytes.length - at >= 4) {
      const length = bytes.readUInt32LE(at);
      if (bytes.length - at - 4 < length) break;
      messages.push(packr.unpack(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    this.rest = bytes.subarray(at);
    return messages;
  }
}
