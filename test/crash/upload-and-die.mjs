/** `node upload-and-die.mjs RPC TTL_MS`: sends three blocks of an upload that it never publishes, says so, and waits to be killed. */
import { connect } from '@nokv/client';
import { crc32c } from '@nokv/object';

const [, , rpc, ttlMs] = process.argv;
const client = await connect({ address: rpc });
const { result } = await client.metadata.mutate('begin-upload', { target: '/never', ttlMs: Number(ttlMs) });
const blocks = await client.blocks();
for (let index = 0; index < 3; index++) {
  const bytes = Buffer.alloc(100_000, index + 1);
  await blocks.putBlock(result.upload, index, bytes, { crc32c: crc32c(bytes), ticket: result.ticket });
}
process.stdout.write(`${result.upload}\n`);
setInterval(() => {}, 1000);
