/** `head` and `tail`: as many bytes as the lines need, from the one end or the other. */
import type { BodyHandle } from '@nokv/client';
import { addressesOf } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { openBody } from './cat.js';

type HeadTail = CallOf<typeof transferCommands.head>;

const LINES_DEFAULT = 10;
const STEP_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export async function head(call: HeadTail): Promise<void> {
  await eachBody(call, async (body) => {
    const { bytes, lines = LINES_DEFAULT } = call.flags;
    let left = bytes === undefined ? lines : bytes;
    if (left === 0) return;
    for await (const chunk of body.stream({
      signal: call.signal,
      ...(bytes === undefined ? {} : { length: Math.min(bytes, body.size) }),
    })) {
      if (bytes !== undefined) {
        await call.output.bytes(chunk);
        continue;
      }
      let end = 0;
      while (end < chunk.length && left > 0) {
        const at = chunk.indexOf(NEWLINE, end);
        end = at < 0 ? chunk.length : at + 1;
        if (at >= 0) left -= 1;
      }
      await call.output.bytes(chunk.subarray(0, end));
      if (left === 0) break;
    }
  });
}

export async function tail(call: HeadTail): Promise<void> {
  await eachBody(call, async (body) => {
    const { bytes, lines = LINES_DEFAULT } = call.flags;
    const offset = bytes === undefined ? await startOfLastLines(body, lines, call.signal) : Math.max(0, body.size - bytes);
    if (offset >= body.size) return;
    for await (const chunk of body.stream({ signal: call.signal, offset, length: body.size - offset })) await call.output.bytes(chunk);
  });
}

async function eachBody(call: HeadTail, show: (body: BodyHandle) => Promise<void>): Promise<void> {
  const addresses = addressesOf(call, call.args.paths);
  await using client = await connectClient(call);
  for (const [i, address] of addresses.entries()) {
    if (addresses.length > 1) await call.output.line(`${i === 0 ? '' : '\n'}==> ${address.written} <==`);
    await show(await openBody(call, client, address));
  }
}

/** Reads backwards until it has seen the newline before the first of the wanted lines. */
async function startOfLastLines(body: BodyHandle, lines: number, signal: AbortSignal): Promise<number> {
  if (lines === 0) return body.size;
  let seen = 0;
  for (let end = body.size; end > 0;) {
    const start = Math.max(0, end - STEP_BYTES);
    const chunk = await body.read(start, end - start, { signal });
    for (let i = chunk.length - 1; i >= 0; i--) {
      // The newline that ends the file ends its last line and begins none.
      if (chunk[i] !== NEWLINE || start + i === body.size - 1) continue;
      seen += 1;
      if (seen === lines) return start + i + 1;
    }
    end = start;
  }
  return 0;
}
