/** `upload begin | urls | publish | end`: a body whose blocks somebody else sends. */
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { PublishOptions } from '@nokv/client';
import { NokvError, UPLOAD_BLOCKS_MAX, formatTimespec, generation, uploadId, type BlockToPut, type SignedRequest } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { localBlocks } from '../local-blocks.js';
import { localFailure } from '../local-failure.js';
import { remotePath, showPath } from '../remote-path.js';
import type { uploadCommands } from '../table/upload-commands.js';
import { shellWord } from '../typed.js';
import { usageError } from '../usage-error.js';
import { changeOptions } from './namespace.js';
import { tellPut } from './put.js';

type Rows = typeof uploadCommands;

export async function uploadBegin(call: CallOf<Rows['uploadBegin']>): Promise<void> {
  const { target, ttl } = call.flags;
  await using client = await connectClient(call);
  const begun = await client.uploads.begin({ ...changeOptions(call), target, ttlMs: ttl });
  const { upload, ticket, expiresAt } = begun;
  await call.output.result(
    { upload, ticket, expiresAt: formatTimespec(expiresAt) },
    `upload ${upload}, open until ${formatTimespec(expiresAt)}\n  send a file:  nokv upload urls ${upload} FILE | sh`,
  );
}

export async function uploadUrls(call: CallOf<Rows['uploadUrls']>): Promise<void> {
  const { args, flags, io, output, signal } = call;
  const upload = uploadId(args.upload);
  await using client = await connectClient(call);
  const { blockBytes } = await client.metadata.access({ signal });
  // Its checksums are made before the first URL: a URL that waits for the rest of a file would expire.
  const blocks = await localBlocks(resolve(io.cwd, args.file), args.file, blockBytes, signal);
  const ticket = await client.uploads.renew(upload, { signal, ttlMs: flags.ttl });
  let at = 0;
  for await (const request of client.uploads.urls(ticket, blocks, { signal })) {
    const block = blocks[at++] as (typeof blocks)[number];
    if (output.json) await output.object(lineOf(upload, block, request));
    else await output.line(putCommand(args.file, block, request, blockBytes));
  }
}

type LocalBlock = BlockToPut & { readonly offset: number };

function lineOf(upload: string, { index, offset, length, crc32c }: LocalBlock, { url, headers, expiresAtMs }: SignedRequest): object {
  return {
    upload,
    index,
    offset,
    length,
    crc32c: crc32c.toString(16).padStart(8, '0'),
    method: 'PUT',
    url,
    headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])),
    expiresAt: new Date(expiresAtMs).toISOString(),
  };
}

/** For a POSIX shell. curl states the length itself, and asks for no leave to send. */
function putCommand(file: string, { index, length }: LocalBlock, { url, headers }: SignedRequest, blockBytes: number): string {
  const sent = headers.filter(({ name }) => name !== 'content-length').map(({ name, value }) => `-H ${shellWord(`${name}: ${value}`)}`);
  const cut = `dd if=${shellWord(file)} bs=${blockBytes} skip=${index} count=1 iflag=fullblock status=none`;
  return `${cut} | head -c ${length} | curl -fsS -X PUT ${sent.join(' ')} -H Expect: --data-binary @- ${shellWord(url)}`;
}

export async function uploadPublish(call: CallOf<Rows['uploadPublish']>): Promise<void> {
  const { args, flags } = call;
  const upload = uploadId(args.upload);
  const path = remotePath(args.destination);
  const { text, name } = openLines(call);
  const blocks = await readBlocks(text, name, upload);
  const { ifGeneration, ifDigest, parents, contentType, mode, digest } = flags;
  const options: PublishOptions = {
    ...changeOptions(call),
    parents,
    ...(ifGeneration === undefined ? {} : { ifGeneration: generation(ifGeneration) }),
    ...(ifDigest === undefined ? {} : { ifDigest }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(mode === undefined ? {} : { mode }),
  };
  await using client = await connectClient(call);
  const { json, text: told } = tellPut(showPath(path), await client.uploads.publish(path, { upload, blocks, digest }, options));
  await call.output.result(json, told);
}

export async function uploadEnd(call: CallOf<Rows['uploadEnd']>): Promise<void> {
  const upload = uploadId(call.args.upload);
  await using client = await connectClient(call);
  await client.uploads.end(upload, changeOptions(call));
  await call.output.result({ upload }, `upload ${upload} has ended`);
}

function openLines({ flags, io }: CallOf<Rows['uploadPublish']>): { readonly text: Readable; readonly name: string } {
  const { blocks } = flags;
  if (blocks === undefined || blocks === '-') return { text: io.stdin, name: 'standard input' };
  return { text: createReadStream(resolve(io.cwd, blocks)), name: blocks };
}

/** A line has a URL, its headers and little else. */
const LINE_CHARACTERS_MAX = 64 * 1024;

async function readBlocks(text: Readable, name: string, upload: string): Promise<BlockToPut[]> {
  const blocks: BlockToPut[] = [];
  let rest = '';
  const take = (line: string): void => {
    if (line.trim() === '') return;
    blocks.push(parseLine(line, `${name}, line ${blocks.length + 1}`, upload));
    if (blocks.length > UPLOAD_BLOCKS_MAX) throw usageError(`${name}: expected at most ${UPLOAD_BLOCKS_MAX} blocks`);
  };
  try {
    for await (const chunk of text) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARACTERS_MAX) throw usageError(`${name}: expected lines of "nokv upload urls --json", found a longer one`);
      lines.forEach(take);
    }
  } catch (error) {
    if (error instanceof NokvError) throw error;
    throw localFailure(error, name);
  }
  take(rest);
  if (blocks.length === 0) throw usageError(`${name}: expected lines of "nokv upload urls --json", found none`);
  return blocks;
}

function parseLine(line: string, where: string, upload: string): BlockToPut {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null)
    throw usageError(`${where}: expected a line of "nokv upload urls --json", found no object`);
  const { index, length, crc32c, upload: of = upload } = value as Readonly<Record<string, unknown>>;
  if (of !== upload) throw usageError(`${where}: expected a block of upload ${upload}, found one of ${String(of).slice(0, 100)}`);
  const isCount = (number: unknown): number is number => typeof number === 'number' && Number.isSafeInteger(number) && number >= 0;
  if (!isCount(index) || !isCount(length) || typeof crc32c !== 'string' || !/^[0-9a-f]{8}$/.test(crc32c))
    throw usageError(`${where}: expected "index", "length" and "crc32c" (8 hex digits) of a block`);
  return { index, length, crc32c: Number.parseInt(crc32c, 16) };
}
