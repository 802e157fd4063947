/** `ls`: one scan a directory; with `-l` and `--json` what the scan does not carry is asked for, many at a time. */
import type { AtLike, NokvClient } from '@nokv/client';
import { formatName, formatTimespec, type Attributes, type NodeCard } from '@nokv/types';
import { addressesOf, atOf, readingAddress } from '../address.js';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { entryJson, modeLetters } from '../entry-json.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { childPath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';

type Ls = CallOf<typeof transferCommands.ls>;
interface Directory {
  readonly path: Uint8Array;
  readonly at: AtLike | undefined;
}
interface Named extends Directory {
  readonly card: NodeCard;
}
interface Row {
  readonly path: Uint8Array;
  readonly name: string;
  readonly card: Attributes & Partial<NodeCard>;
}

/** Rows that are lined up together; more than a screenful, and a bound for memory. */
const ROWS_ALIGNED = 1000;
const STATS_AT_ONCE = 64;

export async function ls(call: Ls): Promise<void> {
  const addresses = addressesOf(call, call.args.paths.length === 0 ? ['/'] : call.args.paths);
  await using client = await connectClient(call);
  // Like ls(1): a symlink that is named is followed, unless what is asked for is the entry itself.
  const follow = !call.flags.long && !call.flags.directory;
  const cards: Named[] = [];
  for await (const named of mapInOrder(addresses, STATS_AT_ONCE, async (address): Promise<Named> => {
    const { path } = address;
    const at = await atOf(call, client, address);
    return { path, at, card: await readingAddress(address, async () => await client.stat(path, { signal: call.signal, follow, at })) };
  })) {
    cards.push(named);
  }
  const isDirectory = ({ card }: Named) => card.type === 'directory' && !call.flags.directory;
  const singles = cards.filter((one) => !isDirectory(one)).map(({ path, card }) => ({ path, name: printable(showPath(path)), card }));
  await printRows(call, singles);
  const directories = cards.filter(isDirectory);
  let isFirst = singles.length === 0;
  for (const { path, at } of directories) {
    isFirst = await printDirectory(call, client, { path, at }, { isTitled: cards.length > 1 || call.flags.recursive, isFirst });
  }
}

/** Prints one directory and, with `-R`, those below it; false once something was printed. */
async function printDirectory(
  call: Ls,
  client: NokvClient,
  directory: Directory,
  { isTitled, isFirst }: { readonly isTitled: boolean; readonly isFirst: boolean },
): Promise<boolean> {
  if (isTitled && !call.output.json) await call.output.line(`${isFirst ? '' : '\n'}${printable(showPath(directory.path))}:`);
  const below: Directory[] = [];
  let page: Row[] = [];
  for await (const row of rowsOf(call, client, directory)) {
    if (row.card.type === 'directory') below.push({ path: row.path, at: directory.at });
    page.push(row);
    if (page.length < ROWS_ALIGNED) continue;
    await printRows(call, page);
    page = [];
  }
  await printRows(call, page);
  if (call.flags.recursive) for (const inner of below) await printDirectory(call, client, inner, { isTitled, isFirst: false });
  return false;
}

async function* rowsOf(call: Ls, client: NokvClient, { path: directory, at }: Directory): AsyncGenerator<Row> {
  const { signal, flags, output } = call;
  yield* mapInOrder(client.list(directory, { signal, at }), STATS_AT_ONCE, async ({ name, nameBytes, type, attributes }): Promise<Row> => {
    const path = childPath(directory, nameBytes);
    const needsCard =
      (output.json && (type === 'file' || type === 'symlink')) || (flags.long && type === 'symlink') || attributes === undefined;
    return { path, name: printable(name), card: needsCard ? await client.stat(path, { signal, follow: false, at }) : attributes };
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
