/** The echo floor: framed MessagePack over TCP loopback, nothing behind it. `--poll` keeps its event loop turning. */
import { createServer } from 'node:net';
import { FrameReader, frame } from './frames.js';

const poll = process.argv.includes('--poll');
let turning = false;
let lastMs = 0;

function turn(): void {
  if (performance.now() - lastMs > 20) turning = false;
  else setImmediate(turn);
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  const reader = new FrameReader();
  socket.on('data', (chunk) => {
    lastMs = performance.now();
    if (poll && !turning) {
      turning = true;
      setImmediate(turn);
    }
    socket.write(Buffer.concat(reader.read(chunk).map(frame)));
  });
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});
