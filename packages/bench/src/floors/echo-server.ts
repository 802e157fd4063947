/**
 * The echo floor: framed MessagePack over TCP loopback, nothing behind it. `--poll` keeps its event loop awake as our server's is,
 * by the same rules; `--get PATH` looks one row up in an LMDB environment for each message.
 */
import { createServer } from 'node:net';
import { AdaptivePoller } from '@nokv/protocol';
import { systemClock } from '@nokv/types';
import { open } from 'lmdb';
import { FrameReader, frame } from './frames.js';

const poller = process.argv.includes('--poll') ? new AdaptivePoller(systemClock) : undefined;
const at = process.argv.indexOf('--get');
const look = at < 0 ? undefined : await lookup(process.argv[at + 1] ?? '');

const server = createServer((socket) => {
  socket.setNoDelay(true);
  const reader = new FrameReader();
  socket.on('data', (chunk) => {
    poller?.received();
    const answers: Buffer[] = [];
    for (const message of reader.read(chunk)) {
      look?.();
      answers.push(frame(message));
    }
    poller?.sent();
    socket.write(Buffer.concat(answers));
  });
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});

/** One get among 10,000 rows of the size of an entry. */
async function lookup(path: string): Promise<() => void> {
  const rows = 10_000;
  const env = open<Buffer, Buffer>({ path, keyEncoding: 'binary', encoding: 'binary' });
  const keyOf = (i: number): Buffer => {
    const key = Buffer.alloc(23, 1);
    key.writeUInt32BE(i, 19);
    return key;
  };
  await env.batch(() => {
    for (let i = 0; i < rows; i++) void env.put(keyOf(i), Buffer.alloc(34, i));
  });
  let next = 0;
  return () => {
    next = (next + 7919) % rows;
    if (env.getBinaryFast(keyOf(next)) === undefined) throw new Error('a row is missing');
  };
}
