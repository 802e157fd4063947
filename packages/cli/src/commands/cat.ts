/** `cat`: bodies in order, chunk by chunk; memory does not grow with them. */
import type { BodyHandle, NokvClient } from '@nokv/client';
import { NokvError } from '@nokv/types';
import { type Address, bodyAt, readingAddress } from '../address.js';
import type { Call, CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { type ProgressBar, progressBar } from '../progress-bar.js';
import type { ByteRange } from '../quantities.js';
import { expandedAddresses } from '../remote-glob.js';
import type { transferCommands } from '../table/transfer-commands.js';

export async function cat(call: CallOf<typeof transferCommands.cat>): Promise<void> {
  const { args, flags, io, output } = call;
  await using client = await connectClient(call);
  using bar = progressBar(io, output, 'cat', flags.progress, io.stdoutIsTerminal);
  await writeBodies(call, client, await expandedAddresses(call, client, args.paths), flags.range, bar);
}

/** Bodies, or ranges of each, to standard output, one after the other; every range is looked at before the first byte of its body. */
export async function writeBodies(
  call: Pick<Call, 'signal' | 'settings' | 'io' | 'command' | 'output'>,
  client: NokvClient,
  addresses: readonly Address[],
  ranges: readonly ByteRange[] | undefined,
  bar: ProgressBar,
): Promise<void> {
  let bytes = 0;
  for (const address of addresses) {
    const body = await openBody(call, client, address);
    const parts = (ranges ?? [undefined]).map((range) => rangeOf(range, body.size));
    const total = parts.reduce((sum, { length }) => sum + length, 0);
    for (const { offset, length } of parts) {
      for await (const chunk of body.stream({ ...transferOptions(call), offset, length, reuse: true })) {
        await call.output.bytes(chunk);
        bytes += chunk.length;
        bar.update({ phase: 'transfer', bytes, ...(addresses.length === 1 ? { bytesTotal: total } : {}) });
      }
    }
  }
  bar.update({ phase: 'done', bytes });
}

/** The body that an address names; reads of part of it are not checked against the digest of the whole. */
export async function openBody(
  call: Pick<Call, 'signal' | 'settings' | 'io' | 'command'>,
  client: NokvClient,
  address: Address,
): Promise<BodyHandle> {
  return await readingAddress(address, async () => {
    const at = await bodyAt(call, client, address);
    return await client.get(address.path, { ...transferOptions(call), ...at });
  });
}

export function rangeOf(range: ByteRange | undefined, size: number): { readonly offset: number; readonly length: number } {
  if (range === undefined) return { offset: 0, length: size };
  if ('last' in range) return { offset: Math.max(0, size - range.last), length: Math.min(size, range.last) };
  if (range.from > size || (range.from === size && size > 0)) {
    throw new NokvError('invalid-argument', `--range: the file has ${size} bytes, so the last one is ${size - 1}; found ${range.from}`);
  }
  return { offset: range.from, length: Math.min(size, (range.to ?? size - 1) + 1) - range.from };
}
