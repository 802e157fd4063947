import type { CallOf } from '../command.js';
import type { questionCommands } from '../table/question-commands.js';

export async function mcp(call: CallOf<typeof questionCommands.mcp>): Promise<void> {
  void call;
}
