import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { NokvError, isNokvError, type ListedResult } from '@nokv/types';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { localFailure } from '../local-failure.js';
import type { listCommands } from '../table/list-commands.js';
import { TXN_BYTES_MAX, addOperation, parseOperations, type WrittenOperation } from '../txn-input.js';
import { changeOptions } from './namespace.js';

export async function txn(call: CallOf<typeof listCommands.txn>): Promise<void> {
  const operations = parseOperations(await readInput(call, call.args.file));
  await using client = await connectClient(call);
  const transaction = client.transaction();
  for (const operation of operations) addOperation(transaction, operation, call.io.cwd);
  const { version, requestId, results } = await transaction.commit(changeOptions(call)).catch((error: unknown) => {
    throw wherever(operations, error);
  });
  const json = { version, requestId, results: results.map(resultJson) };
  await call.output.result(json, `version ${version}: ${results.length} ${results.length === 1 ? 'operation' : 'operations'}`);
}

/** A refusal that names a place says where that was written. */
function wherever(operations: readonly WrittenOperation[], error: unknown): unknown {
  if (!isNokvError(error)) return error;
  const { code, message, outcome, details } = error;
  const isRequirement = typeof details['precondition'] === 'number';
  const place = isRequirement ? details['precondition'] : details['index'];
  const candidates = operations.filter(({ fields }) => (fields['op'] === 'require') === isRequirement);
  const where = typeof place === 'number' ? candidates[place]?.where : undefined;
  return where === undefined ? error : new NokvError(code, `${where}: ${message}`, { outcome, details, cause: error });
}

function resultJson({ operation, result }: ListedResult): Readonly<Record<string, unknown>> {
  if (!('attributes' in result)) return { op: operation, inode: result.ino };
  const { ino, generation } = result.attributes;
  return {
    op: operation,
    inode: ino,
    ...(generation === 0 ? {} : { generation }),
    ...('created' in result ? { created: result.created } : {}),
  };
}

/** All of it, refused as soon as it is longer than any transaction may be. */
async function readInput({ io }: Pick<Call, 'io'>, name: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of name === '-' ? io.stdin : localChunks(resolve(io.cwd, name), name)) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > TXN_BYTES_MAX) {
      throw new NokvError('too-large', `${name}: a transaction has at most ${TXN_BYTES_MAX} bytes; put bodies into files of their own`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function* localChunks(path: string, name: string): AsyncGenerator<Uint8Array> {
  try {
    await using file = await open(path);
    yield* file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>;
  } catch (error) {
    throw localFailure(error, name);
  }
}
