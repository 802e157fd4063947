/** `put`: files, trees and standard input; each file becomes visible in one step. */
import type { NokvClient, PutOptions, PutOutcome } from '@nokv/client';
import { NokvError, generation, isNokvError, joinPath, splitPath, type NodeCard } from '@nokv/types';
import { orAdvise } from '../advise.js';
import { mapInOrder } from '../bounded.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { orTellWhatExists } from '../destination-exists.js';
import { printable } from '../printable.js';
import { type ProgressBar, progressBar } from '../progress-bar.js';
import { filesBelow, nameOfSource, readSource, type FileSource, type Source } from '../put-sources.js';
import { formatSize } from '../quantities.js';
import { childPath, remotePath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { tagXattrs } from '../tags.js';
import { removeOldUploadState, uploadStateFile } from '../upload-state.js';
import { usageError } from '../usage-error.js';

type Put = CallOf<typeof transferCommands.put>;

const JOBS_DEFAULT = 32;
/** Below it notes of what was sent cost more than sending it again. */
const NOTED_BYTES_MIN = 16 * 1024 * 1024;

export async function put(call: Put): Promise<void> {
  const { args, flags } = call;
  checkFlags(call);
  const sources = await Promise.all(args.sources.map((text) => readSource(call.io.cwd, text, flags.recursive)));
  checkSources(call, sources);
  const destination = remotePath(args.destination);
  await using client = await connectClient(call);
  const goesInto = sources.length > 1 || /\/\.?$/.test(args.destination) || (await takesFile(call, client, sources, destination));
  const plan = sources.map((source) => ({ source, path: goesInto ? childPath(destination, nameOfSource(source)) : destination }));
  if (flags.dryRun) {
    for (const { source, path } of plan) await tellPlan(call, client, source, path);
    return;
  }
  // Files of one command go up side by side; a tree already fills the line by itself.
  const filesAtOnce = sources.some(({ kind }) => kind === 'directory') ? 1 : Math.min(8, flags.jobs ?? JOBS_DEFAULT);
  const total = sources.reduce((sum, source) => sum + (source.kind === 'file' ? source.size : 0), 0);
  using bar = progressBar(call.io, call.output, 'put', flags.progress);
  const sent = new SentBytes(bar, sources.every(({ kind }) => kind === 'file') ? total : undefined, sources.length);
  for await (const { json, text } of mapInOrder(plan, filesAtOnce, ({ source, path }) => putOne(call, client, source, path, sent))) {
    await call.output.result(json, text);
  }
  if (total >= NOTED_BYTES_MIN) await removeOldUploadState(call.io);
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
  if (flags.noClobber && flags.ifGeneration !== undefined)
    throw usageError('--no-clobber is --if-generation 0 that goes on; give one of them');
}

/** Flags that speak of single files, whose bytes can be read twice. */
function checkSources({ flags }: Put, sources: readonly Source[]): void {
  if (flags.resume && sources.some(({ kind }) => kind === 'stdin'))
    throw usageError('--resume reads its source again, which standard input cannot be');
  if (!sources.some(({ kind }) => kind === 'directory')) return;
  const given = {
    '--resume': flags.resume,
    '--no-clobber': flags.noClobber,
    '--tag': flags.tag.length > 0,
    '--allow-changed': flags.allowChanged,
  };
  for (const [flag, isGiven] of Object.entries(given)) {
    if (isGiven) throw usageError(`${flag} speaks of files, found a directory; put the files in it by name`);
  }
}

/** Like cp: a directory that is there takes a single file under its own name. Asked before anything is sent. */
async function takesFile(call: Put, client: NokvClient, [source]: readonly Source[], destination: Uint8Array): Promise<boolean> {
  if (source?.kind !== 'file') return false;
  return (await cardAt(call, client, destination))?.type === 'directory';
}

async function cardAt({ signal }: Put, client: NokvClient, path: Uint8Array): Promise<NodeCard | undefined> {
  try {
    return await client.stat(path, { signal, follow: true });
  } catch (error) {
    if (isNokvError(error, 'not-found')) return undefined;
    throw error;
  }
}

interface Told<Json = object> {
  readonly json: Json;
  /** Nothing for people. */
  readonly text: string | undefined;
}

async function putOne(call: Put, client: NokvClient, source: Source, path: Uint8Array, sent: SentBytes): Promise<Told> {
  if (source.kind === 'directory') return await putDirectory(call, client, source.directory, path, sent);
  try {
    return await putFile(call, client, source, path, sent);
  } catch (error) {
    if (call.flags.noClobber && isNokvError(error, 'exists')) return left(path, sent);
    if (source.kind === 'stdin' && isNokvError(error, 'is-directory'))
      throw new NokvError('is-directory', `${showPath(path)}: is a directory; name the file that standard input becomes`, { cause: error });
    throw error;
  }
}

/** What the publish would refuse is refused before a large body is sent. A repeat by its request id is for the server to know. */
async function refuseEarly(call: Put, client: NokvClient, source: FileSource, path: Uint8Array): Promise<void> {
  const { ifGeneration } = publishFlags(call);
  if (ifGeneration === undefined || call.flags.requestId !== undefined || source.kind === 'stdin') return;
  const card = await cardAt(call, client, path);
  if (ifGeneration === 0 && card !== undefined) throw new NokvError('exists', `${showPath(path)} exists`);
  const found = card?.generation ?? 0;
  if (found === ifGeneration) return;
  throw new NokvError(
    'generation-mismatch',
    `${showPath(path)}: expected generation ${ifGeneration}, found ${found}; read it again and decide`,
    { details: { expected: ifGeneration, generation: found } },
  );
}

function left(path: Uint8Array, sent: SentBytes): Told {
  sent.note(path, 0, true);
  return { json: { path: showPath(path), skipped: 'exists' }, text: `${printable(showPath(path))}  is there already, left alone` };
}

async function putFile(call: Put, client: NokvClient, source: FileSource, path: Uint8Array, sent: SentBytes): Promise<Told> {
  const { flags, io } = call;
  const options: PutOptions = {
    ...transferOptions(call),
    target: showPath(path),
    onProgress: ({ bytes, phase }) => sent.note(path, bytes, phase === 'done'),
    parents: flags.parents,
    ...publishFlags(call),
    ...(source.kind === 'file' ? { mode: flags.mode ?? source.mode, mtime: source.mtime, ...resumeOf(call, source, path) } : {}),
  };
  const body =
    source.kind === 'file'
      ? { file: source.file, ifChanged: flags.allowChanged ? ('accept' as const) : ('refuse' as const) }
      : (io.stdin as AsyncIterable<Uint8Array>);
  const publish = async () => {
    await refuseEarly(call, client, source, path);
    return await client.put(path, body, options);
  };
  const publishOrAdvise = async () => {
    const advised = async () => await orAdvise('source-changed', '--allow-changed does', publish);
    return await orAdvise('not-found', 'use --parents to make what is missing', advised);
  };
  try {
    const outcome = flags.noClobber
      ? await publishOrAdvise()
      : await orTellWhatExists(
          client,
          path,
          publishOrAdvise,
          (found) => `--if-generation ${found ?? 'with its generation'}, or leave --if-generation out`,
        );
    sent.note(path, outcome.attributes.size, true);
    return tellPut(showPath(path), outcome);
  } catch (error) {
    if (flags.resume && isNokvError(error) && error.kind === 'unavailable')
      call.output.note(`nokv: put: what was sent is kept for 24 hours; the same command with --resume goes on from there`);
    throw error;
  }
}

function publishFlags({ flags }: Put): PutOptions {
  const { ifDigest, contentType, requestId, mode, tag, compress, dedup } = flags;
  const ifGeneration = flags.noClobber ? 0 : flags.ifGeneration;
  return {
    ...(ifGeneration === undefined ? {} : { ifGeneration: generation(ifGeneration) }),
    ...(ifDigest === undefined ? {} : { ifDigest }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(mode === undefined ? {} : { mode }),
    ...(compress === undefined ? {} : { compress }),
    ...(dedup ? { dedup } : {}),
    ...(tag.length === 0 ? {} : { xattrs: tagXattrs(tag) }),
  };
}

/** Notes are left of every large file: whoever is killed may not have asked for them. */
function resumeOf(call: Put, source: FileSource & { readonly kind: 'file' }, path: Uint8Array): Pick<PutOptions, 'resume'> {
  const { flags, io, settings } = call;
  if (!flags.resume && source.size < NOTED_BYTES_MIN) return {};
  const stateFile = uploadStateFile(io, settings.must('server'), showPath(path), source.file);
  return { resume: { stateFile, mode: flags.resume ? 'go-on' : 'note' } };
}

async function putDirectory(call: Put, client: NokvClient, directory: string, path: Uint8Array, sent: SentBytes): Promise<Told> {
  const { flags } = call;
  const report = await client.putInto(directory, path, {
    ...transferOptions(call),
    jobs: flags.jobs ?? JOBS_DEFAULT,
    parents: flags.parents,
    ...(flags.compress === undefined ? {} : { compress: flags.compress }),
    onProgress: (progress) => sent.bar.update(progress),
  });
  const json = { path: showPath(path), ...report };
  return {
    json,
    text: `${printable(showPath(path))}  ${report.files} files, ${report.directories} directories, ${report.symlinks} symlinks, ${formatSize(report.bytes)}`,
  };
}

/** With `--dry-run`: what would lie where, and what would be left alone or refused. */
async function tellPlan(call: Put, client: NokvClient, source: Source, path: Uint8Array): Promise<void> {
  const tell = async (to: Uint8Array, from: string, more: object = {}) => {
    const shown = showPath(to);
    await call.output.result({ dryRun: true, path: shown, source: from, ...more }, `would put ${printable(from)} as ${printable(shown)}`);
  };
  if (source.kind === 'directory') {
    for await (const names of filesBelow(Buffer.from(source.directory)))
      await tell(joinPath([...splitPath(path), ...names]), [source.directory, ...names.map((name) => showPath(name))].join('/'));
    return;
  }
  try {
    await refuseEarly(call, client, source, path);
  } catch (error) {
    if (!isNokvError(error, 'exists')) throw error;
    const shown = showPath(path);
    if (!call.flags.noClobber)
      throw new NokvError('exists', `${shown}: exists; leave --if-generation out to replace it`, { details: { path: shown } });
    await call.output.result({ path: shown, skipped: 'exists' }, `${printable(shown)}  is there already, would be left alone`);
    return;
  }
  if (source.kind === 'stdin') await tell(path, '-');
  else await tell(path, source.shown, { size: source.size });
}

/** What `put` and `put-artifact` say of one file. */
export function tellPut(path: string, outcome: PutOutcome): { readonly json: object; readonly text: string } {
  const { generation: made, version, created, attributes, digest, requestId, resumedBytes } = outcome;
  const resumed = resumedBytes === undefined || resumedBytes === 0 ? undefined : resumedBytes;
  const json = {
    path,
    generation: made,
    version,
    created,
    size: attributes.size,
    digest: digest ?? null,
    requestId,
    ...(resumed === undefined ? {} : { resumedBytes: resumed }),
  };
  const before = resumed === undefined ? '' : `  (${formatSize(resumed)} sent before)`;
  return { json, text: `${printable(path)}@${made}  ${formatSize(attributes.size)}${digest === undefined ? '' : `  ${digest}`}${before}` };
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
