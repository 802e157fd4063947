/** In a process of its own, so that what it costs is not taken from the client's thread: listens, passes on, and delays what comes back. */
import { createServer, connect, type AddressInfo } from 'node:net';

const [, , target = '', delay = '0'] = process.argv;
const { hostname, port } = new URL(target);
const delayMs = Number(delay);
let puts = 0;
let gets = 0;

const server = createServer({ noDelay: true }, (near) => {
  const far = connect({ host: hostname, port: Number(port), noDelay: true });
  for (const socket of [near, far]) socket.on('error', () => socket.destroy());
  near.on('data', (chunk) => {
    // A request begins a chunk: clients wait for an answer before they ask again.
    const method = chunk.toString('latin1', 0, 4);
    if (method === 'PUT ') puts += 1;
    else if (method === 'GET ') gets += 1;
    if (!far.write(chunk)) {
      near.pause();
      far.once('drain', () => near.resume());
    }
  });
  far.on('data', (chunk) => {
    if (delayMs === 0) near.write(chunk);
    else setTimeout(() => near.writable && near.write(chunk), delayMs);
  });
  near.once('close', () => far.destroy());
  far.once('close', () => setTimeout(() => near.destroy(), delayMs));
});

/** Asked for the counts, it begins to count anew. */
process.on('message', () => {
  process.send?.({ puts, gets });
  puts = 0;
  gets = 0;
});
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
