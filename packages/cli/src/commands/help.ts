import type { CallOf } from '../command.js';
import { COMMANDS } from '../commands.js';
import { helpOf, overview } from '../help.js';
import { findCommand } from '../parse-arguments.js';
import type { otherCommands } from '../table/other-commands.js';

export async function help({ args: { words }, output }: CallOf<typeof otherCommands.help>): Promise<void> {
  if (words.length === 0) return await output.line(overview(COMMANDS));
  const below = COMMANDS.filter(({ name }) => name.startsWith(`${words.join(' ')} `));
  const isGroup = below.length > 0 && !COMMANDS.some(({ name }) => name === words.join(' '));
  if (isGroup) return await output.line(below.map(helpOf).join('\n\n'));
  const { command } = findCommand(words, COMMANDS);
  await output.line(command === undefined ? overview(COMMANDS) : helpOf(command));
}
