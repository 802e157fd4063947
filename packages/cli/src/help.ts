/** Help texts, made from the table. */
import { type AnyCommand, type CommandGroup, type Flags, flagName } from './command.js';
import { GLOBAL_FLAGS, argumentForm } from './parse-arguments.js';
import { columns } from './output.js';

export const GROUP_TITLES: Readonly<Record<CommandGroup, string>> = {
  server: 'Server',
  files: 'Files and directories',
  history: 'History and forks',
  questions: 'Questions (the same verbs that agents have)',
  mount: 'Mount',
  other: 'Other',
};

/** `nokv help`. */
export function overview(table: readonly AnyCommand[]): string {
  const groups = Object.keys(GROUP_TITLES) as CommandGroup[];
  const width = Math.max(...table.map((row) => commandForm(row).length));
  const sections = groups.map((group) => {
    const rows = table.filter((row) => row.group === group);
    const lines = rows.map((row) => `  ${commandForm(row).padEnd(Math.min(width, 34))}  ${row.summary}`);
    return `${GROUP_TITLES[group]}:\n${lines.join('\n')}`;
  });
  return [
    'nokv: one namespace for the artifacts of agents',
    'Usage: nokv COMMAND [ARGUMENT…] [--flag…]',
    ...sections,
    `Flags of every command:\n${flagLines(GLOBAL_FLAGS)}`,
    'A remote path is absolute. Where a command reads one, PATH@G is generation G of a file, PATH@v3 its third body, PATH@tag:NAME and\n' +
      'PATH@snap:ID what was there at a tag or snapshot; --at does the same for a whole command. A name that ends so is written with \\x40.',
    '"nokv help COMMAND" says more and shows an example.',
  ].join('\n\n');
}

/** `nokv help CMD` and `nokv CMD --help`. */
export function helpOf(row: AnyCommand): string {
  const args = Object.values(row.args).map(({ label, help }) => [`  ${label}`, help]);
  const sections = [
    `nokv ${row.name}: ${row.summary}`,
    `Usage: nokv ${commandForm(row)}${Object.keys(row.flags).length > 0 ? ' [--flag…]' : ''}`,
  ];
  if (args.length > 0) sections.push(`Arguments:\n${columns(args).join('\n')}`);
  if (Object.keys(row.flags).length > 0) sections.push(`Flags:\n${flagLines(row.flags)}`);
  if (row.notes !== undefined) sections.push(row.notes.join('\n'));
  sections.push(`Example:\n  ${row.example}`);
  sections.push('"nokv help" lists the flags of every command.');
  return sections.join('\n\n');
}

/** `put SRC… DST`. */
export function commandForm(row: AnyCommand): string {
  return `${row.name}${argumentForm(row.args)}`;
}

/** `-v, --verbose` or `--jobs N`. */
export function flagForm(key: string, flag: Flags[string]): string {
  const short = flag.short === undefined ? '' : `-${flag.short}, `;
  return `${short}--${flagName(key)}${flag.label === undefined ? '' : flag.bare === undefined ? ` ${flag.label}` : `[=${flag.label}]`}`;
}

function flagLines(flags: Flags): string {
  return columns(Object.entries(flags).map(([key, flag]) => [`  ${flagForm(key, flag)}`, flag.help])).join('\n');
}
