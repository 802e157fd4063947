/** `watch`: one line a change until N of them, Ctrl-C or an error; then the cursor to go on from. */
import type { WatchEvent } from '@nokv/client';
import { formatTimespec } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { remotePath } from '../remote-path.js';
import type { watchCommands } from '../table/watch-commands.js';

type WatchCall = CallOf<typeof watchCommands.watch>;

const COMMAND_ACTORS = 'cli:*';
const KIND_WIDTH = 11;
const OUTSIDE = '(outside)';

export async function watch(call: WatchCall): Promise<void> {
  const { flags, output, signal } = call;
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const changes = client.watch(path, {
    since: flags.since,
    kinds: flags.kinds,
    actors: flags.actor.length === 0 ? undefined : flags.actor,
    exceptActors: flags.excludeSelf ? [...flags.exceptActor, COMMAND_ACTORS] : flags.exceptActor,
    signal,
  });
  let cursor: string | undefined;
  try {
    let count = 0;
    for await (const event of changes) {
      if (output.json) await output.object(toJson(event));
      else await output.line(toLine(call, event));
      // A reader hears of each change when it happens.
      await output.flush();
      ({ cursor } = event);
      count += 1;
      if (count === flags.limit) return;
    }
    cursor = changes.cursor;
    signal.throwIfAborted();
  } finally {
    const reached = cursor ?? changes.cursor;
    if (reached !== undefined) output.note(`cursor ${reached}`);
  }
}

function toJson(event: WatchEvent): Record<string, unknown> {
  const { cursor, version, ordinal, kind, path, fromPath, ino, type, generation, actor, requestId, time } = event;
  return {
    cursor,
    version,
    ordinal,
    kind,
    path: path ?? null,
    fromPath: fromPath ?? null,
    inode: ino,
    type,
    generation: generation ?? null,
    actor,
    requestId,
    time: formatTimespec(time),
  };
}

function toLine({ output }: WatchCall, { time, kind, path, fromPath, generation, actor }: WatchEvent): string {
  const place =
    kind === 'renamed' ? `${printable(fromPath ?? OUTSIDE)} -> ${printable(path ?? OUTSIDE)}` : printable(path ?? fromPath ?? OUTSIDE);
  const body = generation === undefined ? '' : `  @${generation}`;
  return `${formatTimespec(time)}  ${output.colors.magenta(kind.padEnd(KIND_WIDTH))}  ${place}${body}  ${printable(actor)}`;
}
