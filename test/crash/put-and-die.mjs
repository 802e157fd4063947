/**
 * `node put-and-die.mjs RPC PATH FILE WAY [STOP]`: puts the bytes of FILE in one go, or stops for ever on the way and says so:
 * before the first byte (`begin`), in the middle (`middle`), when all is staged and not published (`staged`). To be killed.
 */
import { readFileSync } from 'node:fs';
import { connect } from '@nokv/client';

const [, , rpc, path, file, way, stop] = process.argv;
const client = await connect({ address: rpc, ways: [way], timeoutMs: 60_000 });
const bytes = readFileSync(file);

async function* source() {
  const half = Math.floor(bytes.length / 2);
  if (stop === 'begin') await reached();
  yield bytes.subarray(0, half);
  if (stop === 'middle') await reached();
  yield bytes.subarray(half);
}

function reached() {
  process.stdout.write('reached\n');
  setInterval(() => {}, 1000);
  return new Promise(() => {});
}

const staged = await client.stage(source());
if (stop === 'staged') await reached();
await client.publish(path, staged);
process.stdout.write('done\n');
process.exit(0);
