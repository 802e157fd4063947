/** One run of the command: parse, configure, do, tell. Returns the exit code; nothing here ends the process. */
import { NokvError, toNokvError } from '@nokv/types';
import type { CliIo } from './cli-io.js';
import { type AnyCommand, type Call } from './command.js';
import { COMMANDS } from './commands.js';
import { type ConfigFile, readConfigFile } from './config-file.js';
import { describeFailure } from './failure.js';
import { helpOf, overview } from './help.js';
import { ClosedOutput, Output } from './output.js';
import { type GlobalTexts, findCommand, parseArguments, parseGlobals } from './parse-arguments.js';
import { ProgramExit } from './program-exit.js';
import { SETTING_KEYS, Settings } from './settings.js';
import { VERSION } from './version.js';

/** Broken pipes end a command quietly: the reader has what it wanted. */
const EXIT_CLOSED_OUTPUT = 0;

export async function runCli(words: readonly string[], io: CliIo): Promise<number> {
  let name: string | undefined;
  let isJson = words.includes('--json');
  let output: Output | undefined;
  const interrupt = new AbortController();
  const stopListening = io.onInterrupt((signal) => interrupt.abort(new NokvError('cancelled', `stopped by ${signal}`)));
  try {
    const found = findCommand(words, COMMANDS);
    if (found.command === undefined) {
      const global = parseGlobals(found.before);
      output = new Output(io, global);
      if (found.version) await output.result({ version: VERSION }, `nokv ${VERSION}`);
      else if (global.help || found.before.length === 0) await output.line(overview(COMMANDS));
      else throw new NokvError('invalid-argument', 'missing the name of a command; "nokv help" lists all');
      await output.flush();
      return 0;
    }
    name = found.command.name;
    const line = parseArguments({ ...found, command: found.command });
    isJson = line.global.json;
    output = new Output(io, line.global);
    if (line.global.help) await output.line(helpOf(line.command));
    else await runCommand(line.command, { args: line.args, flags: line.flags }, line.global, output, io, interrupt.signal);
    await output.flush();
    return 0;
  } catch (error) {
    if (error instanceof ClosedOutput) return EXIT_CLOSED_OUTPUT;
    if (error instanceof ProgramExit) return error.exitCode;
    // What was printed before the failure stands.
    await output?.flush().catch(() => undefined);
    const failure = describeFailure(asNokvError(error), name, interrupt.signal.aborted);
    if (failure.isWorthTelling || isJson) io.stderr.write(`${isJson ? JSON.stringify(failure.record) : failure.text}\n`);
    if (words.includes('-v') || words.includes('--verbose')) io.stderr.write(`${causes(error)}\n`);
    return failure.exitCode;
  } finally {
    stopListening();
  }
}

async function runCommand(
  command: AnyCommand,
  line: { readonly args: unknown; readonly flags: unknown },
  global: GlobalTexts,
  output: Output,
  io: CliIo,
  signal: AbortSignal,
): Promise<void> {
  const run = await command.load();
  const settings = new Settings(global, io.env, configFile(global, io));
  const call = { command: command.name, ...line, settings, output, io, signal } as Call;
  // The row made both the parser and the call: what was parsed is what it asks for.
  await run(call as never);
}

function configFile(global: GlobalTexts, io: CliIo): ConfigFile | undefined {
  const path = global.config ?? (io.env.NOKV_CONFIG === '' ? undefined : io.env.NOKV_CONFIG);
  return path === undefined ? undefined : readConfigFile(path, io.cwd, SETTING_KEYS);
}

function asNokvError(error: unknown): NokvError {
  if (error instanceof Error && error.name === 'AbortError') {
    return new NokvError('cancelled', 'stopped before it was done', { outcome: 'unknown', cause: error });
  }
  return toNokvError(error);
}

function causes(error: unknown): string {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error && lines.length < 10; at = at.cause) lines.push(at.stack ?? at.message);
  return lines.join('\ncaused by ');
}
