/**
 * `watch-load.js SERVER WATCHERS own|all FILE`: watchers over a connection each, of a directory each (`own`) or of the whole tree (`all`).
 * Says `ready`, then takes a line with the number of events to wait for on standard input, and answers `done` with how many came. FILE
 * gets pairs of doubles: version, and the time in ms by the machine's monotonic clock; of `all` one in {@link SAMPLED} of each watcher.
 */
import { connect } from '@nokv/client';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { monotonicMs } from '../monotonic-ms.js';

const SAMPLED = 100;
const [, , server = '', watchersText = '', mode = '', file = ''] = process.argv;
const watchers = Number(watchersText);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

let came = 0;
let wanted = Number.POSITIVE_INFINITY;
let tellDone: () => void = () => undefined;
const done = new Promise<void>((resolve) => (tellDone = resolve));
const seen: number[] = [];
const stop = new AbortController();

const clients = await Promise.all(Array.from({ length: watchers }, () => connect(server)));
await Promise.all(
  clients.map(async (client, i) => {
    const root = { path: Buffer.from(mode === 'own' ? `/bench/${i}` : '/bench') };
    const items = client.metadata.watchPath(root, { signal: stop.signal })[Symbol.asyncIterator]();
    await items.next();
    void (async () => {
      for (let item = await items.next(); item.done !== true; item = await items.next()) {
        if (item.value.kind !== 'events') continue;
        const now = monotonicMs();
        for (const { version } of item.value.events) if (mode === 'own' || version % SAMPLED === i % SAMPLED) seen.push(version, now);
        came += item.value.events.length;
        if (came >= wanted) tellDone();
      }
    })();
  }),
);
process.stdout.write('ready\n');
const { value } = await lines.next();
wanted = Number(value);
if (came >= wanted) tellDone();
await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 20_000))]);
// What comes beyond what is wanted would be a repeat.
await new Promise((resolve) => setTimeout(resolve, 200));
writeFileSync(file, Buffer.from(Float64Array.from(seen).buffer));
process.stdout.write(`${came}\n`);
stop.abort();
await Promise.all(clients.map((client) => client.close()));
process.exit(0);
