/** `watch`: one line a change until N of them, Ctrl-C or an error; then the cursor to go on from. */
import { eventJson, eventLine } from '../change-view.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { remotePath } from '../remote-path.js';
import type { watchCommands } from '../table/watch-commands.js';

type WatchCall = CallOf<typeof watchCommands.watch>;

const COMMAND_ACTORS = 'cli:*';

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
      if (output.json) await output.object(eventJson(event));
      else await output.line(eventLine(output, event));
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
