/** `cat`: bodies in order, chunk by chunk; memory does not grow with them. */
import type { BodyHandle, NokvClient } from '@nokv/client';
import { NokvError } from '@nokv/types';
import type { Call, CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { progressBar } from '../progress-bar.js';
import type { ByteRange } from '../quantities.js';
import { type VersionedPath, versionedPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';

export async function cat(call: CallOf<typeof transferCommands.cat>): Promise<void> {
  const { args, flags, io, output } = call;
  const paths = args.paths.map(versionedPath);
  await using client = await connectClient(call);
  using bar = progressBar(io, output, 'cat', flags.progress, io.stdoutIsTerminal);
  let bytes = 0;
  for (const path of paths) {
    const body = await openBody(call, client, path);
    const { offset, length } = rangeOf(flags.range, body.size);
    for await (const chunk of body.stream({ ...transferOptions(call), offset, length, reuse: true })) {
      await output.bytes(chunk);
      bytes += chunk.length;
      bar.update({ phase: 'transfer', bytes, ...(paths.length === 1 ? { bytesTotal: length } : {}) });
    }
  }
  bar.update({ phase: 'done', bytes });
}

/** The body of one generation; reads of part of it are not checked against the digest of the whole. */
export async function openBody(
  call: Pick<Call, 'signal' | 'settings' | 'io' | 'command'>,
  client: NokvClient,
  path: VersionedPath,
): Promise<BodyHandle> {
  try {
    const { generation } = path;
    return await client.get(path.path, { ...transferOptions(call), ...(generation === undefined ? {} : { generation }) });
  } catch (error) {
    if (error instanceof NokvError && error.code === 'not-found' && path.generation !== undefined) {
      const hint = `; if the name itself ends in "@${path.generation}", write \\x40${path.generation}`;
      throw new NokvError('not-found', `${error.message}${hint}`, { cause: error, details: error.details });
    }
    throw error;
  }
}

export function rangeOf(range: ByteRange | undefined, size: number): { readonly offset: number; readonly length: number } {
  if (range === undefined) return { offset: 0, length: size };
  if ('last' in range) return { offset: Math.max(0, size - range.last), length: Math.min(size, range.last) };
  if (range.from > size || (range.from === size && size > 0)) {
    throw new NokvError('invalid-argument', `--range: the file has ${size} bytes, so the last one is ${size - 1}; found ${range.from}`);
  }
  return { offset: range.from, length: Math.min(size, (range.to ?? size - 1) + 1) - range.from };
}
