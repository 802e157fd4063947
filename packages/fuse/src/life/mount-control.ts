/**
 * How other processes speak to a running mount: a unix socket beside its record, one JSON line each way.
 * Only the user who mounted may connect (the run directory is 0700).
 */
import { rmSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { NokvError, toNokvError } from '@nokv/types';

export interface MountRequest {
  readonly operation: 'drain' | 'unmount';
  readonly force?: boolean;
}

const REQUEST_BYTES_MAX = 4096;

/** Listens until closed. A socket that a dead process left is replaced. */
export async function serveControl(socket: string, answer: (request: MountRequest) => Promise<void>): Promise<Server> {
  rmSync(socket, { force: true });
  const server = createServer((connection) => {
    connection.on('error', () => undefined);
    let text = '';
    connection.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.length > REQUEST_BYTES_MAX) connection.destroy();
      if (!text.endsWith('\n')) return;
      const line = text;
      text = '';
      void respond(line, answer).then((reply) => connection.end(`${reply}\n`));
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  return server;
}

async function respond(line: string, answer: (request: MountRequest) => Promise<void>): Promise<string> {
  try {
    const request = JSON.parse(line) as MountRequest;
    if (request.operation !== 'drain' && request.operation !== 'unmount') {
      throw new NokvError('unknown-operation', 'expected drain or unmount');
    }
    await answer({ operation: request.operation, force: request.force === true });
    return JSON.stringify({ ok: true });
  } catch (error) {
    return JSON.stringify({ ok: false, error: toNokvError(error).toRecord() });
  }
}

/** False when nobody listens. Rejects with the mount's own error, or `deadline-exceeded`. */
export async function askMount(socket: string, request: MountRequest, timeoutMs: number): Promise<boolean> {
  const connection = createConnection(socket);
  connection.setTimeout(timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => connection.once('connect', resolve).once('error', reject));
  } catch {
    return false;
  }
  try {
    connection.write(`${JSON.stringify(request)}\n`);
    const late = new Promise<never>((_, reject) => {
      connection.once('timeout', () => {
        reject(
          new NokvError('deadline-exceeded', `the mount did not finish to ${request.operation} within ${timeoutMs} ms`, {
            outcome: 'unknown',
          }),
        );
      });
    });
    const line = await Promise.race([firstLine(connection), late]);
    if (line === undefined) return true;
    const reply = JSON.parse(line) as { ok: boolean; error?: Parameters<typeof NokvError.fromRecord>[0] };
    if (!reply.ok && reply.error !== undefined) throw NokvError.fromRecord(reply.error);
    return true;
  } finally {
    connection.destroy();
  }
}

/** Undefined when the other side ended without a word: it is gone, and the mount with it. */
async function firstLine(connection: NodeJS.ReadableStream): Promise<string | undefined> {
  const lines = createInterface({ input: connection })[Symbol.asyncIterator]();
  try {
    const { value, done } = await lines.next();
    return done === true ? undefined : (value as string);
  } catch {
    return undefined;
  }
}
