/** Bodies that share blocks. */
import type { StagedBody } from '../nokv-client.js';
import { NokvError } from '@nokv/types';

export class PackedFiles {
  constructor(_options: object) {}

  async add(bytes: Uint8Array, publish: (staged: StagedBody) => Promise<void>): Promise<void> {
    void publish;
    throw new NokvError('unsupported', `this build of the client has no way to reach blocks for ${bytes.length} bytes`);
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {}
}
