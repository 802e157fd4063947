/** The floor of durable creates: LMDB itself, five puts a create, each answered after its flush. */
import { open, type RootDatabase } from 'lmdb';

export class RawLmdbFloor {
  private readonly env: RootDatabase<Buffer, Buffer>;
  private next = 0;

  constructor(path: string) {
    this.env = open<Buffer, Buffer>({ path, keyEncoding: 'binary', encoding: 'binary' });
  }

  /** Every call of a tick shares the library's next transaction, and the next is formed while this one is flushed. */
  readonly create = async (): Promise<void> => {
    const id = this.next++;
    let last: Promise<boolean> | undefined;
    for (let row = 0; row < 5; row++) {
      const key = Buffer.allocUnsafe(16);
      key.writeUInt32BE(row, 0);
      key.writeUInt32BE(0, 4);
      key.writeUInt32BE(0, 8);
      key.writeUInt32BE(id, 12);
      last = this.env.put(key, Buffer.alloc(96, row));
    }
    await last;
    await this.env.flushed;
  };

  async close(): Promise<void> {
    await this.env.close();
  }
}
