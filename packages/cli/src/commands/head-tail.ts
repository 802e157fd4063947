/** `head` and `tail`: as many bytes as the lines need, from the one end or the other. */
import type { BodyHandle } from '@nokv/client';
import { isNokvError, joinPath, splitPath } from '@nokv/types';
import { addressOf } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { expandedAddresses } from '../remote-glob.js';
import { showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { usageError } from '../usage-error.js';
import { openBody } from './cat.js';

type HeadTail = CallOf<typeof transferCommands.head>;
type Tail = CallOf<typeof transferCommands.tail>;

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

export async function tail(call: Tail): Promise<void> {
  if (call.flags.follow) return await followOne(call);
  await eachBody(call, async (body) => await writeFrom(call, body, await startOfTail(call, body)));
}

async function startOfTail({ flags, signal }: Tail, body: BodyHandle): Promise<number> {
  const { bytes, lines = LINES_DEFAULT } = flags;
  return bytes === undefined ? await startOfLastLines(body, lines, signal) : Math.max(0, body.size - bytes);
}

async function writeFrom({ output, signal }: Tail, body: BodyHandle, offset: number): Promise<void> {
  if (offset >= body.size) return;
  for await (const chunk of body.stream({ signal, offset, length: body.size - offset })) await output.bytes(chunk);
}

async function followOne(call: Tail): Promise<void> {
  const { args, output, signal } = call;
  const [text, ...others] = args.paths;
  if (text === undefined || others.length > 0) throw usageError(`-f follows one file, found ${args.paths.length}; start one tail for each`);
  const address = addressOf(call, text);
  if (address.moment !== undefined) throw usageError(`${text}: the past does not grow; leave out -f or the moment`);
  await using client = await connectClient(call);
  const { path } = address;
  const parent = splitPath(path).slice(0, -1);
  // Watched before it is read, so that nothing falls between; by its directory, since another file may take the name.
  const events = client.watch(joinPath(parent), { signal })[Symbol.asyncIterator]();
  let next = events.next();
  next.catch(() => undefined);
  let body = await openBody(call, client, address);
  await writeFrom(call, body, await startOfTail(call, body));
  let shown = { ino: body.attributes.ino, generation: body.generation, size: body.size };
  const name = showPath(path);
  // Ends with the signal: whoever follows says when it is enough.
  for (;;) {
    const { done, value: event } = await next;
    signal.throwIfAborted();
    if (done === true) return;
    next = events.next();
    next.catch(() => undefined);
    if (event.path !== name && event.fromPath !== name) continue;
    const found = await client.get(path, { signal }).catch((error: unknown) => {
      if (isNokvError(error, 'not-found')) return undefined;
      throw error;
    });
    if (found === undefined) {
      output.note(`nokv: tail: ${printable(name)}: is gone; waiting for another`);
      shown = { ino: body.attributes.ino, generation: body.generation, size: 0 };
      continue;
    }
    body = found;
    if (found.generation === shown.generation && found.attributes.ino === shown.ino) continue;
    const isSame = found.attributes.ino === shown.ino && found.size >= shown.size;
    if (!isSame && shown.size > 0) output.note(`nokv: tail: ${printable(name)}: was replaced; this is the new one`);
    await writeFrom(call, found, isSame ? shown.size : 0);
    shown = { ino: found.attributes.ino, generation: found.generation, size: found.size };
  }
}

async function eachBody(call: HeadTail, show: (body: BodyHandle) => Promise<void>): Promise<void> {
  await using client = await connectClient(call);
  const addresses = await expandedAddresses(call, client, call.args.paths);
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
