/** `log`, `revert`, `undelete`, `prune`: the bodies of files that were superseded, and what was removed. */
import type { NokvClient } from '@nokv/client';
import { formatTimespec, isNokvError } from '@nokv/types';
import { addressOf, atOf, generationOf } from '../address.js';
import { orAdvise } from '../advise.js';
import { eventJson, eventLine } from '../change-view.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { splitMoment } from '../moment.js';
import { columns } from '../output.js';
import { shortTime } from '../pin-view.js';
import { printable } from '../printable.js';
import { formatSize } from '../quantities.js';
import { remotePath, showPath } from '../remote-path.js';
import type { historyCommands } from '../table/history-commands.js';
import { usageError } from '../usage-error.js';
import { changeOptions, tell } from './namespace.js';

type Rows = typeof historyCommands;

/** Rows that are lined up together, and a bound for memory. */
const ROWS_ALIGNED = 1000;

export async function log(call: CallOf<Rows['log']>): Promise<void> {
  const { output, flags, signal } = call;
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  if (await isDirectory(client, path, signal)) return await logDirectory(call, client, path);
  let rows: string[][] = [];
  const flush = async () => {
    for (const line of columns(rows, [0, 2])) await output.line(line);
    rows = [];
  };
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  for await (const { generation, ordinal, size, digest, contentType, producer, actor, time, isCurrent } of client.log(path, { signal })) {
    if (output.json) {
      await output.object({
        path: showPath(path),
        generation,
        ordinal,
        size,
        digest: digest ?? null,
        contentType: contentType ?? null,
        producer: producer ?? null,
        actor,
        time: formatTimespec(time),
        current: isCurrent,
      });
    } else {
      const mark = isCurrent ? 'current' : '';
      rows.push([`${generation}`, `v${ordinal}`, formatSize(size), shortTime(time), mark, printable(actor), printable(digest ?? '-')]);
      if (rows.length >= ROWS_ALIGNED) await flush();
    }
    left -= 1;
    if (left === 0) break;
  }
  await flush();
}

/** False where nothing is: what is said of that is the log's to say. */
async function isDirectory(client: NokvClient, path: Uint8Array, signal: AbortSignal): Promise<boolean> {
  try {
    return (await client.stat(path, { signal })).type === 'directory';
  } catch (error) {
    if (isNokvError(error) && error.kind === 'not-found') return false;
    throw error;
  }
}

async function logDirectory({ output, flags, signal }: CallOf<Rows['log']>, client: NokvClient, path: Uint8Array): Promise<void> {
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  for await (const event of client.changes(path, { signal })) {
    if (output.json) await output.object(eventJson(event));
    else await output.line(eventLine(output, event));
    left -= 1;
    if (left === 0) break;
  }
}

export async function revert(call: CallOf<Rows['revert']>): Promise<void> {
  const { path: text, moment } = splitMoment(call.args.path);
  const isBody = moment?.kind === 'generation' || moment?.kind === 'ordinal';
  if (!isBody) throw usageError(`expected a body such as ${printable(text)}@42 or ${printable(text)}@v1; "nokv log" shows them`);
  const path = remotePath(text);
  await using client = await connectClient(call);
  const reverted = moment.kind === 'generation' ? moment.generation : await generationOf(call, client, { path, text }, moment.ordinal);
  const options = { ...changeOptions(call), ifGeneration: call.flags.ifGeneration };
  const { attributes, generation, version, requestId } = await client.revert(path, reverted, options);
  const json = {
    path: showPath(path),
    inode: attributes.ino,
    generation,
    ordinal: attributes.ordinal,
    reverted,
    size: attributes.size,
    version,
    requestId,
  };
  await call.output.result(
    json,
    `${printable(showPath(path))}@${generation}  ${formatSize(attributes.size)}, the body of generation ${reverted} again`,
  );
}

export async function undelete(call: CallOf<Rows['undelete']>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const to = call.flags.to === undefined ? undefined : remotePath(call.flags.to);
  await using client = await connectClient(call);
  const options = { ...changeOptions(call), at: await atOf(call, client, address), to };
  const restore = async () => await client.undelete(address.path, options);
  const outcome = await orAdvise('exists', 'give another place with --to', restore);
  const place = to ?? address.path;
  if (call.output.json) return await tell(call, place, outcome, to === undefined ? {} : { from: showPath(address.path) });
  await call.output.result(undefined, `${printable(showPath(place))}  is back (inode ${outcome.attributes.ino})`);
}

export async function prune(call: CallOf<Rows['prune']>): Promise<void> {
  const { output, flags } = call;
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const sum = { bodies: 0, bytes: 0 };
  const { keepLast, olderThan: keepMs, dryRun } = flags;
  for await (const pruned of client.prune(path, { ...changeOptions(call), keepLast, keepMs, dryRun })) {
    sum.bodies += 1;
    sum.bytes += pruned.bytes;
    const { path: shown, generation, ordinal, ino, bytes } = pruned;
    if (output.json) await output.object({ path: shown, generation, ordinal, inode: ino, bytes, dryRun });
    else if (!output.quiet) await output.line(`${printable(shown)}@${generation}  v${ordinal}  ${formatSize(bytes)}`);
  }
  await output.flush();
  output.note(
    `${sum.bodies} ${sum.bodies === 1 ? 'body' : 'bodies'}, ${formatSize(sum.bytes)}${dryRun ? ', would be removed' : ' removed'}`,
  );
}
