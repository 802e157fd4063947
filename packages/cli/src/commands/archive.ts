/** `archive`: a tree as a tar stream; and the other way round for `import`. */
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable, pipeline } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { NokvError } from '@nokv/types';
import { addressOf, atOf } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { localFailure } from '../local-failure.js';
import { printable } from '../printable.js';
import { progressBar } from '../progress-bar.js';
import { remotePath, showPath } from '../remote-path.js';
import type { treeCommands } from '../table/tree-commands.js';
import { usageError } from '../usage-error.js';
import { tell } from './sync.js';

type Archive = CallOf<typeof treeCommands.archive>;
type Import = CallOf<typeof treeCommands.importTree>;
export type ArchiveFormat = 'tar' | 'tar.gz';

const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

export async function archive(call: Archive): Promise<void> {
  const { args, flags, io, output, signal } = call;
  const address = addressOf(call, args.path);
  const toStdout = args.file === undefined || args.file === '-';
  if (toStdout && io.stdoutIsTerminal)
    throw usageError('an archive is not written to a terminal; name a FILE, or redirect standard output');
  const format = flags.format ?? (args.file === undefined ? undefined : formatOfName(args.file)) ?? 'tar';
  await using client = await connectClient(call);
  const at = await atOf(call, client, address);
  using bar = progressBar(io, output, 'archive', flags.progress);
  const { include, exclude } = flags;
  const chunks = client.archive(address.path, {
    ...transferOptions(call),
    include,
    exclude,
    onProgress: (progress) => bar.update(progress),
    onSkip: ({ path, reason }) => output.note(`nokv: archive: left out ${printable(path)}: ${reason}`),
    ...(at === undefined ? {} : { at }),
  });
  // Compression holds on to its chunks for a while.
  const bytes = format === 'tar' ? chunks : pipeline(Readable.from(copies(chunks)), createGzip(), () => undefined);
  if (toStdout) for await (const chunk of bytes) await output.bytes(chunk as Uint8Array);
  else
    await writeArchive(
      resolve(io.cwd, args.file ?? ''),
      bytes as AsyncIterable<Uint8Array>,
      Buffer.from(io.random.bytes(8)).toString('hex'),
      signal,
    );
}

/** The format of what `import` is to read, or undefined for a directory. */
export function archiveFormat(source: string, format: ArchiveFormat | undefined): ArchiveFormat | 'auto' | undefined {
  if (format !== undefined) return format;
  if (source === '-') return 'auto';
  return formatOfName(source);
}

export async function importArchive(call: Import, format: ArchiveFormat | 'auto'): Promise<void> {
  const { args, flags, io, output } = call;
  for (const [flag, given] of Object.entries({
    '--delete': flags.delete,
    '--dry-run': flags.dryRun,
    '--checksum': flags.checksum,
    '--skip-special': flags.skipSpecial,
  })) {
    if (given) throw usageError(`${flag} compares two trees, but ${args.source} is an archive; unpack it, or leave the flag out`);
  }
  const path = remotePath(args.destination);
  const source = args.source === '-' ? io.stdin : createReadStream(resolve(io.cwd, args.source));
  // What goes wrong before anybody reads is met by the reader.
  source.on('error', () => undefined);
  try {
    await using client = await connectClient(call);
    using bar = progressBar(io, output, 'import', flags.progress);
    const { include, exclude, jobs, producer, owner } = flags;
    const bytes = uncompressed(source as AsyncIterable<Uint8Array>, format, args.source);
    const report = await client.unarchive(bytes, path, {
      ...transferOptions(call),
      ...(owner === undefined ? {} : { owner }),
      include,
      exclude,
      jobs,
      producer,
      onProgress: (progress) => bar.update(progress),
    });
    bar[Symbol.dispose]();
    await tell({ command: 'import', flags: {}, output }, showPath(path), report);
  } finally {
    source.destroy();
  }
}

function formatOfName(name: string): ArchiveFormat | undefined {
  if (/\.(tar\.gz|tgz)$/.test(name)) return 'tar.gz';
  return name.endsWith('.tar') ? 'tar' : undefined;
}

/** Whether it is compressed shows in its first two bytes where nobody said it. */
async function* uncompressed(source: AsyncIterable<Uint8Array>, format: ArchiveFormat | 'auto', name: string): AsyncGenerator<Uint8Array> {
  try {
    const chunks = source[Symbol.asyncIterator]();
    const first = await chunks.next();
    const all = (async function* () {
      if (first.done !== true) yield first.value;
      yield* { [Symbol.asyncIterator]: () => chunks };
    })();
    const isCompressed = format === 'tar.gz' || (format === 'auto' && first.done !== true && GZIP_MAGIC.equals(first.value.subarray(0, 2)));
    if (!isCompressed) yield* all;
    else yield* pipeline(Readable.from(all), createGunzip(), () => undefined) as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_')) {
      throw new NokvError('unsupported-format', `${name}: is not (whole) gzip: ${error.message}`, { cause: error });
    }
    throw localFailure(error, name);
  }
}

async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

/** Beside its place, and moved over it when it is whole. */
async function writeArchive(path: string, bytes: AsyncIterable<Uint8Array>, suffix: string, signal: AbortSignal): Promise<void> {
  const beside = `${path}.${suffix}`;
  const file = await open(beside, 'wx').catch((error: unknown) => {
    throw localFailure(error, path);
  });
  try {
    try {
      for await (const chunk of bytes) {
        signal.throwIfAborted();
        await file.writeFile(chunk).catch((error: unknown) => {
          throw localFailure(error, path);
        });
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path).catch((error: unknown) => {
      throw localFailure(error, path);
    });
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
