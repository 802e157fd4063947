/** docs/cli.md, made from the table. */
import { EXIT_CODES, EXIT_INTERRUPTED, EXIT_OUTCOME_UNKNOWN } from '@nokv/types';
import { type AnyCommand, type CommandGroup, type Flags } from './command.js';
import { GROUP_TITLES, commandForm, flagForm } from './help.js';
import { GLOBAL_FLAGS } from './parse-arguments.js';

const EXIT_MEANING: Readonly<Record<keyof typeof EXIT_CODES, string>> = {
  internal: 'internal failure',
  invalid: 'usage, or a request that is wrong in itself',
  'not-found': 'not found',
  exists: 'exists already',
  conflict: 'the state is not what was expected',
  denied: 'denied',
  quota: 'no room',
  fenced: 'this server may not serve (any more)',
  unavailable: 'unavailable; try again later',
  corrupt: 'stored bytes are not what they should be',
};

/** The whole page; ends with one line end. */
export function renderReference(table: readonly AnyCommand[]): string {
  const codes = Object.entries(EXIT_CODES).map(([kind, code]) => `| ${code} | ${EXIT_MEANING[kind as keyof typeof EXIT_CODES]} |`);
  const groups = (Object.keys(GROUP_TITLES) as CommandGroup[]).map((group) =>
    [`## ${GROUP_TITLES[group]}`, ...table.filter((row) => row.group === group).map(renderCommand)].join('\n\n'),
  );
  return `${[
    '# The `nokv` command',
    'Made from the command table; a test keeps it current. `nokv help`, `nokv help COMMAND` and `nokv COMMAND --help` say the same.',
    'Results go to standard output, everything else to standard error. A remote path is absolute; a byte of a name that is not UTF-8 is written `\\xHH`, a backslash `\\\\`. ' +
      'Where a command reads a path, a moment may stand behind it: `PATH@G` is generation G of a file (of a directory, its state after commit G), `PATH@v3` the third body of a file, ' +
      '`PATH@tag:NAME`, `PATH@snap:ID` and `PATH@version:N` what was there at a tag, a snapshot or after commit N; `--at` does the same for a whole command and takes a time too. ' +
      'A name that itself ends in `@` and one of these forms is written with `\\x40` for the "@". ' +
      'Durations are written `250ms 30s 5m 24h 7d`, sizes `64KiB 4MiB 10GB`. A setting is taken from its flag, else its environment variable, else the configuration file, else its default.',
    '## Flags of every command',
    flagTable(GLOBAL_FLAGS),
    '## Exit codes',
    [
      '| code | meaning |',
      '|---|---|',
      '| 0 | done |',
      ...codes,
      `| ${EXIT_OUTCOME_UNKNOWN} | outcome unknown: it may have taken effect; run it again with the \`--request-id\` that is printed |`,
      `| ${EXIT_INTERRUPTED} | interrupted |`,
    ].join('\n'),
    'Errors are one line on standard error; with `--json` the error object: `code`, `kind`, `outcome`, `message`, `details`, `command`, `exitCode`.',
    ...groups,
  ].join('\n\n')}\n`;
}

function renderCommand(row: AnyCommand): string {
  const args = Object.values(row.args).map(({ label, help }) => `- \`${label}\`: ${help}`);
  const parts = [`### \`nokv ${commandForm(row)}\``, `${row.summary[0]?.toUpperCase() ?? ''}${row.summary.slice(1)}.`];
  if (args.length > 0) parts.push(args.join('\n'));
  if (row.notes !== undefined) parts.push(row.notes.join('\n'));
  if (Object.keys(row.flags).length > 0) parts.push(flagTable(row.flags));
  if (row.schema !== undefined) parts.push(`With \`--json\`: [${row.schema}.json](../packages/cli/schema/${row.schema}.json).`);
  parts.push(`\`\`\`\n${row.example}\n\`\`\``);
  return parts.join('\n\n');
}

function flagTable(flags: Flags): string {
  const rows = Object.entries(flags).map(([key, flag]) => `| \`${flagForm(key, flag)}\` | ${flag.help.replaceAll('|', '\\|')} |`);
  return ['| flag | |', '|---|---|', ...rows].join('\n');
}
