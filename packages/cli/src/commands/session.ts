/** `session list` and `session close`. */
import { formatTimespec, sessionId, type SessionCard } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { columns } from '../output.js';
import { shortTime } from '../pin-view.js';
import { printable } from '../printable.js';
import type { lockCommands } from '../table/lock-commands.js';

export async function sessionList(call: CallOf<typeof lockCommands.sessionList>): Promise<void> {
  const { output, signal } = call;
  await using client = await connectClient(call);
  const rows: string[][] = [];
  // Bounded by the sessions that a shard takes.
  for await (const card of client.sessions({ signal })) {
    if (output.json) await output.object(toJson(card));
    else rows.push(cells(card));
  }
  if (output.json) return;
  if (rows.length === 0) return output.note('no sessions');
  for (const line of columns([['SESSION', 'LOCKS', 'FILES', 'UNTIL', 'ACTOR', 'NAME'], ...rows], [1, 2])) await output.line(line);
}

export async function sessionClose(call: CallOf<typeof lockCommands.sessionClose>): Promise<void> {
  const session = sessionId(call.args.id);
  await using client = await connectClient(call);
  const { version } = await client.metadata.mutate('close-session', { session }, { signal: call.signal });
  await call.output.result({ session, version }, undefined);
}

function cells({ session, name, actor, expiresAt, live, locks, handles }: SessionCard): string[] {
  return [session, `${locks}`, `${handles}`, live ? shortTime(expiresAt) : 'over', printable(actor), printable(name)];
}

function toJson({ session, name, actor, openedAt, expiresAt, live, locks, handles }: SessionCard): Record<string, unknown> {
  const times = { openedAt: formatTimespec(openedAt), expiresAt: formatTimespec(expiresAt) };
  return { session, name, actor, ...times, live, locks, openFiles: handles };
}
