import type { Call } from '../command.js';
import { VERSION } from '../version.js';

export async function version({ output }: Call): Promise<void> {
  await output.result({ version: VERSION }, `nokv ${VERSION}`);
}
