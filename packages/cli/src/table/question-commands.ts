/** The verbs that agents have, in the words of a shell. */
import { command, one, value } from '../command.js';
import { parseText } from '../quantities.js';

const mcp = command({
  name: 'mcp',
  group: 'questions',
  summary: 'serve the seven verbs to an agent over standard input and output (MCP)',
  args: {},
  flags: { root: value('PATH', 'Show nothing outside this directory', parseText) },
  example: 'nokv mcp --root /runs',
});

export const questionCommands = { mcp };
void one;
