/** `put`: files, trees and standard input; each file becomes visible in one step. */
import { stat as statLocal } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { NokvClient, PutOutcome } from '@nokv/client';
import { NokvError, generation } from '@nokv/types';
import { orAdvise } from '../advise.js';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { orTellWhatExists } from '../destination-exists.js';
import { localFailure } from '../local-failure.js';
import { localFileOf, type LocalFile } from '../local-file.js';
import { printable } from '../printable.js';
import { type ProgressBar, progressBar } from '../progress-bar.js';
import { formatSize } from '../quantities.js';
import { childPath, nameOfLocal, remotePath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { usageError } from '../usage-error.js';

type Put = CallOf<typeof transferCommands.put>;
type Source =
  | { readonly kind: 'stdin' }
  | ({ readonly kind: 'file' } & LocalFile)
  | { readonly kind: 'directory'; readonly directory: string };

const JOBS_DEFAULT = 32;

export async function put(call: Put): Promise<void> {
  const { args, flags } = call;
  checkFlags(call);
  const sources = await Promise.all(args.sources.map((text) => readSource(call, text)));
  const destination = remotePath(args.destination);
  const goesInto = sources.length > 1 || /\/\.?$/.test(args.destination);
  await using client = await connectClient(call);
  const plan = sources.map((source) => ({ source, path: goesInto ? childPath(destination, nameOfSource(source)) : destination }));
  // Files of one command go up side by side; a tree already fills the line by itself.
  const filesAtOnce = sources.some(({ kind }) => kind === 'directory') ? 1 : Math.min(8, flags.jobs ?? JOBS_DEFAULT);
  const total = sources.reduce((sum, source) => sum + (source.kind === 'file' ? source.size : 0), 0);
  using bar = progressBar(call.io, call.output, 'put', flags.progress);
  const sent = new SentBytes(bar, sources.every(({ kind }) => kind === 'file') ? total : undefined, sources.length);
  for await (const { json, text } of mapInOrder(plan, filesAtOnce, ({ source, path }) => putOne(call, client, source, path, sent))) {
    await call.output.result(json, text);
  }
}

function checkFlags({ args, flags }: Put): void {
  if (args.sources.length > 1) {
    for (const [flag, given] of Object.entries({
      '--if-generation': flags.ifGeneration,
      '--if-digest': flags.ifDigest,
      '--request-id': flags.requestId,
    })) {
      if (given !== undefined) throw usageError(`${flag} speaks of one file, found ${args.sources.length} sources; put them one by one`);
    }
  }
  if (args.sources.filter((text) => text === '-').length > 1) throw usageError('standard input can be put once, found "-" twice');
}

async function readSource({ io, flags }: Put, text: string): Promise<Source> {
  if (text === '-') return { kind: 'stdin' };
  const file = resolve(io.cwd, text);
  const found = await statLocal(file, { bigint: true }).catch((error: unknown) => {
    throw localFailure(error, text);
  });
  if (found.isDirectory()) {
    if (flags.recursive) return { kind: 'directory', directory: file };
    throw new NokvError('is-directory', `${text}: is a directory; use -r, or put-artifact to publish it at once`);
  }
  if (!found.isFile())
    throw new NokvError('not-regular-file', `${text}: expected a file, found a device, fifo or socket; pipe it into "nokv put -"`);
  return { kind: 'file', ...localFileOf(file, found) };
}

function nameOfSource(source: Source): Uint8Array {
  if (source.kind === 'stdin') throw usageError('standard input has no name; name the file: nokv put - /path/file');
  return nameOfLocal(basename(source.kind === 'file' ? source.file : source.directory));
}

interface Told<Json = object> {
  readonly json: Json;
  readonly text: string;
}

async function putOne(call: Put, client: NokvClient, source: Source, path: Uint8Array, sent: SentBytes): Promise<Told> {
  if (source.kind === 'directory') return await putDirectory(call, client, source.directory, path, sent);
  try {
    return await putFile(call, client, source, path, sent);
  } catch (error) {
    // Like cp: a directory that is there takes the file under its own name.
    if (!(error instanceof NokvError && error.code === 'is-directory') || source.kind === 'stdin') throw error;
    return await putFile(call, client, source, childPath(path, nameOfSource(source)), sent);
  }
}

async function putFile(
  call: Put,
  client: NokvClient,
  source: Exclude<Source, { kind: 'directory' }>,
  path: Uint8Array,
  sent: SentBytes,
): Promise<Told> {
  const { flags, io } = call;
  const mode = flags.mode ?? (source.kind === 'file' ? source.mode : undefined);
  const publish = async () =>
    await client.put(path, source.kind === 'file' ? { file: source.file } : (io.stdin as AsyncIterable<Uint8Array>), {
      ...transferOptions(call),
      target: showPath(path),
      onProgress: ({ bytes, phase }) => sent.note(path, bytes, phase === 'done'),
      ...(flags.ifGeneration === undefined ? {} : { ifGeneration: generation(flags.ifGeneration) }),
      ...(flags.ifDigest === undefined ? {} : { ifDigest: flags.ifDigest }),
      ...(flags.contentType === undefined ? {} : { contentType: flags.contentType }),
      ...(flags.requestId === undefined ? {} : { requestId: flags.requestId }),
      ...(mode === undefined ? {} : { mode }),
      ...(flags.compress === undefined ? {} : { compress: flags.compress }),
      ...(source.kind === 'file' ? { mtime: source.mtime } : {}),
      parents: flags.parents,
    });
  const publishOrAdvise = async () => await orAdvise('not-found', 'use --parents to make what is missing', publish);
  const outcome = await orTellWhatExists(
    client,
    path,
    publishOrAdvise,
    (found) => `--if-generation ${found ?? 'with its generation'}, or leave --if-generation out`,
  );
  return tellPut(showPath(path), outcome);
}

async function putDirectory(call: Put, client: NokvClient, directory: string, path: Uint8Array, sent: SentBytes): Promise<Told> {
  const { flags } = call;
  const report = await client.putInto(directory, path, {
    ...transferOptions(call),
    jobs: flags.jobs ?? JOBS_DEFAULT,
    parents: flags.parents,
    onProgress: (progress) => sent.bar.update(progress),
  });
  const json = { path: showPath(path), ...report };
  return {
    json,
    text: `${printable(showPath(path))}  ${report.files} files, ${report.directories} directories, ${report.symlinks} symlinks, ${formatSize(report.bytes)}`,
  };
}

/** What `put` and `put-artifact` say of one file. */
export function tellPut(path: string, { generation: made, version, created, attributes, digest, requestId }: PutOutcome): Told {
  const json = { path, generation: made, version, created, size: attributes.size, digest: digest ?? null, requestId };
  return { json, text: `${printable(path)}@${made}  ${formatSize(attributes.size)}${digest === undefined ? '' : `  ${digest}`}` };
}

/** Adds up the progress of files that go up side by side. */
class SentBytes {
  private readonly byPath = new Map<Uint8Array, number>();
  private finished = 0;
  constructor(
    readonly bar: ProgressBar,
    private readonly total: number | undefined,
    private readonly files: number,
  ) {}

  note(path: Uint8Array, bytes: number, isDone: boolean): void {
    this.byPath.set(path, bytes);
    if (isDone) this.finished += 1;
    const sum = [...this.byPath.values()].reduce((a, b) => a + b, 0);
    const totals = this.total === undefined ? {} : { bytesTotal: this.total };
    const phase = this.finished === this.files ? 'done' : 'transfer';
    this.bar.update({ phase, bytes: sum, files: this.finished, filesTotal: this.files, ...totals });
  }
}
