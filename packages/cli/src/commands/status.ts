/** `status`: which server answers, whether it serves, and how its store is. */
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { columns } from '../output.js';
import { printable } from '../printable.js';
import { formatClock } from '../quantities.js';
import type { serverCommands } from '../table/server-commands.js';
import { VERSION } from '../version.js';

export async function status(call: CallOf<typeof serverCommands.status>): Promise<void> {
  const { output, signal } = call;
  await using client = await connectClient(call);
  const { status: more, ...info } = await client.metadata.serverInfo({ signal });
  // A server of an earlier release says less.
  const told = { ...info, ...more, client: VERSION };
  if (output.json) return await output.object(told);
  const rows: string[][] = [
    ['server', `${told.software} as ${told.node}, up for ${clock(told.uptimeMs)}`],
    ...told.shards.map(({ shard, epoch, visible, durable }) => [
      `shard ${shard}`,
      `epoch ${epoch}; version ${visible} visible, ${durable} durable`,
    ]),
    ['http', told.http],
    ['client', VERSION],
  ];
  if (more !== undefined) {
    const { store } = more;
    const repeats = store.retries === 0 ? '' : `; ${store.retries} repeats, opened ${store.opened} times`;
    rows.splice(1, 0, ['serving', more.isServing ? 'yes' : 'no: another node serves, or the lease is lost']);
    rows.splice(
      -1,
      0,
      ['durability', more.durability],
      ['control', printable(more.control)],
      ['process', `${more.pid}, ${more.runtime}`],
      ['store', printable(store.description)],
      ['circuit', `${store.circuit} for ${clock(store.circuitMs)}${repeats}`],
      ...(store.failure === undefined ? [] : [['failing', printable(store.failure)]]),
    );
  }
  for (const line of columns(rows)) await output.line(line);
}

function clock(ms: number): string {
  return formatClock(Math.floor(ms / 1000));
}
