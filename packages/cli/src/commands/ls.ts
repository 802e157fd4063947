/** `ls`: one scan a directory; with `-l` and `--json` what the scan does not carry is asked for, many at a time. */
import type { NokvClient } from '@nokv/client';
import { formatName, formatTimespec, joinPath, type Attributes, type NodeCard } from '@nokv/types';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { entryJson, modeLetters } from '../entry-json.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { childPath, remotePaths, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';

type Ls = CallOf<typeof transferCommands.ls>;
interface Row {
  readonly path: Uint8Array;
  readonly name: string;
  readonly card: Attributes & Partial<NodeCard>;
}

/** Rows that are lined up together; more than a screenful, and a bound for memory. */
const ROWS_ALIGNED = 1000;
const STATS_AT_ONCE = 64;

export async function ls(call: Ls): Promise<void> {
  const paths = call.args.paths.length === 0 ? [joinPath([])] : remotePaths(call.args.paths);
  await using client = await connectClient(call);
  // Like ls(1): a symlink that is named is followed, unless what is asked for is the entry itself.
  const follow = !call.flags.long && !call.flags.directory;
  const cards = await Promise.all(paths.map(async (path) => ({ path, card: await client.stat(path, { signal: call.signal, follow }) })));
  const isDirectory = ({ card }: { readonly card: NodeCard }) => card.type === 'directory' && !call.flags.directory;
  const singles = cards.filter((one) => !isDirectory(one)).map(({ path, card }) => ({ path, name: printable(showPath(path)), card }));
  await printRows(call, singles);
  const directories = cards.filter(isDirectory);
  let isFirst = singles.length === 0;
  for (const { path } of directories) {
    isFirst = await printDirectory(call, client, path, { isTitled: cards.length > 1 || call.flags.recursive, isFirst });
  }
}

/** Prints one directory and, with `-R`, those below it; false once something was printed. */
async function printDirectory(
  call: Ls,
  client: NokvClient,
  directory: Uint8Array,
  { isTitled, isFirst }: { readonly isTitled: boolean; readonly isFirst: boolean },
): Promise<boolean> {
  if (isTitled && !call.output.json) await call.output.line(`${isFirst ? '' : '\n'}${printable(showPath(directory))}:`);
  const below: Uint8Array[] = [];
  let page: Row[] = [];
  for await (const row of rowsOf(call, client, directory)) {
    if (row.card.type === 'directory') below.push(row.path);
    page.push(row);
    if (page.length < ROWS_ALIGNED) continue;
    await printRows(call, page);
    page = [];
  }
  await printRows(call, page);
  if (call.flags.recursive) for (const path of below) await printDirectory(call, client, path, { isTitled, isFirst: false });
  return false;
}

async function* rowsOf(call: Ls, client: NokvClient, directory: Uint8Array): AsyncGenerator<Row> {
  const { signal, flags, output } = call;
  yield* mapInOrder(client.list(directory, { signal }), STATS_AT_ONCE, async ({ name, nameBytes, type, attributes }): Promise<Row> => {
    const path = childPath(directory, nameBytes);
    const needsCard =
      (output.json && (type === 'file' || type === 'symlink')) || (flags.long && type === 'symlink') || attributes === undefined;
    return { path, name: printable(name), card: needsCard ? await client.stat(path, { signal, follow: false }) : attributes };
  });
}

async function printRows(call: Ls, rows: readonly Row[]): Promise<void> {
  const { output, flags } = call;
  if (output.json) {
    for (const { path, card } of rows) await output.object(entryJson(showPath(path), card));
    return;
  }
  const paint = (row: Row) => painted(call, row);
  if (flags.long) {
    const cells = rows.map(({ card }) => [
      modeLetters(card),
      `${card.nlink}`,
      `${card.uid}`,
      `${card.gid}`,
      card.type === 'char' || card.type === 'block' ? `dev ${card.rdev}` : `${card.size}`,
      formatTimespec(card.mtime).slice(0, 19).replace('T', ' '),
    ]);
    const lines = columns([...cells], [1, 2, 3, 4]);
    for (const [i, row] of rows.entries()) {
      await output.line(
        `${lines[i] ?? ''}  ${paint(row)}${row.card.target === undefined ? '' : ` -> ${printable(formatName(row.card.target))}`}`,
      );
    }
  } else if (call.io.stdoutIsTerminal && !flags.one) {
    for (const line of acrossScreen(rows, paint, call.io.columns())) await output.line(line);
  } else {
    for (const row of rows) await output.line(row.name);
  }
}

/** Names in columns, top to bottom, as wide as the screen. */
function acrossScreen(rows: readonly Row[], paint: (row: Row) => string, width: number): string[] {
  if (rows.length === 0) return [];
  const cell = Math.max(...rows.map(({ name }) => name.length)) + 2;
  const across = Math.max(1, Math.floor(width / cell));
  const down = Math.ceil(rows.length / across);
  return Array.from({ length: down }, (_, y) =>
    rows
      .filter((_row, i) => i % down === y)
      .map((row) => paint(row) + ' '.repeat(cell - row.name.length))
      .join('')
      .trimEnd(),
  );
}

function painted({ output: { colors } }: Ls, { name, card }: Row): string {
  if (card.type === 'directory') return colors.bold(colors.blue(name));
  if (card.type === 'symlink') return colors.cyan(name);
  if (card.type !== 'file') return colors.yellow(name);
  return (card.mode & 0o111) === 0 ? name : colors.green(name);
}
