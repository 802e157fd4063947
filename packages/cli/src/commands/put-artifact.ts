/** `put-artifact`: a file or a directory that becomes visible whole or not at all. */
import { stat as statLocal } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { NokvClient } from '@nokv/client';
import { NokvError, generation } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { orTellWhatExists } from '../destination-exists.js';
import { localFailure } from '../local-failure.js';
import { localFileOf, type LocalFile } from '../local-file.js';
import { progressBar } from '../progress-bar.js';
import { lastName, remotePath, showPath } from '../remote-path.js';
import type { transferCommands } from '../table/transfer-commands.js';
import { usageError } from '../usage-error.js';
import { tellPut } from './put.js';
import { publishDirectory } from './put-tree.js';

type PutArtifact = CallOf<typeof transferCommands.putArtifact>;

export async function putArtifact(call: PutArtifact): Promise<void> {
  const { args, io } = call;
  const path = remotePath(args.path);
  if (lastName(path) === undefined)
    throw new NokvError('not-permitted', `${args.path}: the root is no artifact; name what ${args.source} becomes`);
  const source = resolve(io.cwd, args.source);
  const found = await statLocal(source, { bigint: true }).catch((error: unknown) => {
    throw localFailure(error, args.source);
  });
  if (!found.isDirectory() && !found.isFile()) {
    throw new NokvError('not-regular-file', `${args.source}: expected a file or directory, found a device, fifo or socket`);
  }
  if (found.isDirectory()) checkDirectoryFlags(call);
  await using client = await connectClient(call);
  if (found.isDirectory())
    await publishDirectory(call, client, path, source, { ...call.flags, special: call.flags.skipSpecial ? 'skip' : 'refuse' });
  else await publishFile(call, client, path, localFileOf(source, found));
}

function checkDirectoryFlags({ flags, args }: PutArtifact): void {
  for (const [flag, given] of Object.entries({ '--digest': flags.digest, '--content-type': flags.contentType })) {
    if (given !== undefined) throw usageError(`${flag} speaks of one file, but ${args.source} is a directory; leave it out`);
  }
}

async function publishFile(call: PutArtifact, client: NokvClient, path: Uint8Array, source: LocalFile): Promise<void> {
  const { flags, io, output } = call;
  using bar = progressBar(io, output, 'put-artifact', flags.progress);
  const publish = async () =>
    await client.put(
      path,
      { file: source.file },
      {
        ...transferOptions(call),
        target: showPath(path),
        parents: true,
        mode: source.mode,
        mtime: source.mtime,
        onProgress: (progress) => bar.update({ bytesTotal: source.size, ...progress }),
        ...(flags.replace ? {} : { ifGeneration: generation(0) }),
        ...(flags.digest === undefined ? {} : { digest: flags.digest }),
        ...(flags.contentType === undefined ? {} : { contentType: flags.contentType }),
        ...(flags.producer === undefined ? {} : { producer: flags.producer }),
        ...(flags.requestId === undefined ? {} : { requestId: flags.requestId }),
      },
    );
  const outcome = await orTellWhatExists(client, path, publish, () => '--replace');
  const { json, text } = tellPut(showPath(path), outcome);
  await output.result({ ...json, type: 'file' }, text);
}
