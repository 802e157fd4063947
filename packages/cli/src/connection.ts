/** A client for the server that is configured; the SDK is loaded only here. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { NokvClient } from '@nokv/client';
import { NokvError } from '@nokv/types';
import { cacheOptions } from './cache-settings.js';
import type { Call } from './command.js';
import { formatSize } from './quantities.js';

type Connected = Pick<Call, 'settings' | 'io' | 'signal' | 'command'>;

/** Connects; the caller closes (`await using`). */
export async function connectClient(call: Connected & Pick<Call, 'output'>): Promise<NokvClient> {
  const { cache, ...options } = await connectOptions(call);
  const { output, settings } = call;
  // A directory that nobody named is not worth a word when it cannot be used.
  const isNamed = settings.resolve('cacheDir').source !== 'default';
  const note = (line: string): void => output[isNamed ? 'note' : 'detail'](`nokv: ${call.command}: ${line}`);
  const { connect } = await import('@nokv/client');
  const as = settings.get('as');
  const client = await connect({ ...options, ...(as === undefined ? {} : { as }), cache: { ...cache, note }, signal: call.signal });
  return output.verbose ? tellingReads(client, call) : client;
}

/** With `-v` a command says in the end where what it read came from. */
function tellingReads(client: NokvClient, { command, output }: Pick<Call, 'command' | 'output'>): NokvClient {
  const close = client.close.bind(client);
  client.close = async () => {
    await close();
    const { memory, disk, store } = client.cacheFigures;
    if (memory.hits + memory.misses + store.gets === 0) return;
    const onDisk = disk === undefined ? 'no disk cache' : `${disk.hits} from the disk, ${disk.writes} written to it`;
    output.detail(
      `nokv: ${command}: reads: ${memory.hits} from memory, ${onDisk}, ${store.gets} gets (${formatSize(store.bytes)}) of the store`,
    );
  };
  return client;
}

/** How the configured server is reached, without anything that ends with this command. */
export async function connectOptions({ settings, io, command }: Connected) {
  const tokenFile = settings.get('tokenFile');
  return {
    address: serverAddress(settings.must('server')),
    clientName: 'nokv-cli',
    actor: `cli:${command}`,
    timeoutMs: settings.must('timeout'),
    env: storeEnv({ settings, io }),
    clock: io.clock,
    random: io.random,
    cache: cacheOptions({ settings, io }),
    ...(tokenFile === undefined ? {} : { token: await readToken(resolve(io.cwd, tokenFile)) }),
  };
}

/** Where stores find their credentials and how they are to be reached. */
export function storeEnv({ settings, io }: Pick<Call, 'settings' | 'io'>): Readonly<Record<string, string | undefined>> {
  return { ...io.env, NOKV_S3_CLIENT: settings.must('s3Client') };
}

/** Time for the calls of a transfer: what was asked for, or none, since a big body takes as long as it takes. */
export function transferOptions(call: Connected): { readonly signal: AbortSignal; readonly timeoutMs?: number } {
  const { value, source } = call.settings.resolve('timeout');
  return source === 'default' || value === undefined ? { signal: call.signal } : { signal: call.signal, timeoutMs: value };
}

const TOKEN_BYTES_MAX = 16 * 1024;

async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new NokvError('bad-configuration', `${path}: cannot read the token file (${reason}); correct --token-file or NOKV_TOKEN_FILE`, {
      cause: error,
    });
  }
  const token = text.trim();
  if (token === '' || token.length > TOKEN_BYTES_MAX) {
    throw new NokvError('bad-configuration', `${path}: expected a token of 1 to ${TOKEN_BYTES_MAX} characters, found ${token.length}`);
  }
  return token;
}

function serverAddress(text: string): string {
  for (const one of text.split(',')) {
    const isUnix = one.startsWith('unix:') && one.length > 'unix:'.length;
    const port = Number(/^.+:(\d{1,5})$/.exec(one)?.[1] ?? NaN);
    if (isUnix || (port >= 1 && port <= 65535 && !one.includes('://'))) continue;
    throw new NokvError('invalid-argument', `expected a server as HOST:PORT or unix:PATH, found "${one}"; correct --server or NOKV_SERVER`);
  }
  return text;
}
