import { XATTR_VALUE_BYTES_MAX, NokvError, parseName } from '@nokv/types';
import { addressOf, atOf, readingAddress } from '../address.js';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printable } from '../printable.js';
import { remotePath, showPath } from '../remote-path.js';
import type { fileCommands } from '../table/file-commands.js';
import { usageError } from '../usage-error.js';
import { changeOptions, tell } from './namespace.js';

type Rows = typeof fileCommands;

export async function xattrGet(call: CallOf<Rows['xattrGet']>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const { path } = address;
  const name = parseName(call.args.name);
  await using client = await connectClient(call);
  const options = { signal: call.signal, at: await atOf(call, client, address) };
  const value = await readingAddress(address, async () => await client.getXattr(path, name, options));
  if (call.output.json)
    await call.output.object({ path: showPath(path), name: call.args.name, base64: Buffer.from(value).toString('base64') });
  else {
    await call.output.bytes(value);
    if (call.io.stdoutIsTerminal) await call.output.line('');
  }
}

export async function xattrSet(call: CallOf<Rows['xattrSet']>): Promise<void> {
  const { args, flags } = call;
  if (flags.create && flags.replace) throw usageError('--create and --replace exclude each other; give one');
  const path = remotePath(args.path);
  const value = args.value === '-' ? await readAll(call) : Buffer.from(args.value);
  await using client = await connectClient(call);
  const mode = flags.create ? 'create' : flags.replace ? 'replace' : 'set';
  await tell(call, path, await client.setXattr(path, parseName(args.name), value, { ...changeOptions(call), mode }));
}

export async function xattrList(call: CallOf<Rows['xattrList']>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const { path } = address;
  await using client = await connectClient(call);
  const options = { signal: call.signal, at: await atOf(call, client, address) };
  for (const name of await readingAddress(address, async () => await client.listXattrs(path, options))) {
    if (call.output.json) await call.output.object({ path: showPath(path), name });
    else await call.output.line(printable(name));
  }
}

export async function xattrRm(call: CallOf<Rows['xattrRm']>): Promise<void> {
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  await tell(call, path, await client.removeXattr(path, parseName(call.args.name), changeOptions(call)));
}

/** Standard input, refused as soon as it is longer than any value may be. */
async function readAll({ io }: Pick<Call, 'io'>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > XATTR_VALUE_BYTES_MAX)
      throw new NokvError('too-large', `an extended attribute has at most ${XATTR_VALUE_BYTES_MAX} bytes, found more`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
