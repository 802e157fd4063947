export { runCli } from './run-cli.js';
export type { CliIo } from './cli-io.js';
export { COMMANDS } from './commands.js';
export { renderReference } from './reference.js';
export type { EntryJson } from './entry-json.js';
