import { formatName } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { remotePath } from '../remote-path.js';
import type { questionCommands } from '../table/question-commands.js';

/** Standard output belongs to the protocol; it ends when the agent closes standard input. */
export async function mcp(call: CallOf<typeof questionCommands.mcp>): Promise<void> {
  const root = formatName(remotePath(call.flags.root ?? '/'));
  await using client = await connectClient(call);
  void root;
  void client;
}
