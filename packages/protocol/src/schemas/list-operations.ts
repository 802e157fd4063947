/** The two operations that list mutations: the transaction and the batch. */
import {
  BATCH_MAX,
  TRANSACT_MAX,
  requestId,
  type BatchAnswer,
  type BatchItem,
  type ListedMutation,
  type ListedResult,
  type Precondition,
} from '@nokv/types';
import type { Schema } from '../schema.js';
import { boolean, list, object, optional, parsedText } from '../schema.js';
import type { AnswerOf, ArgsOf, WireMutationResult } from '../wire-operations.js';
import { mutation, type OperationDefinition } from './definition.js';
import { wireError } from './error.js';
import type { ListedSchemas } from './listed.js';
import { REQUEST_ID_BYTES_MAX, count, digest, generation, inodeNumber, inodeType, nodeRef, version } from './values.js';

export function transactDefinition(listed: ListedSchemas): OperationDefinition<'transact'> {
  return mutation(
    'transact',
    64,
    { preconditions: optional(list(precondition, TRANSACT_MAX)), operations: list(listedMutation(listed), TRANSACT_MAX) },
    object<WireMutationResult<'transact'>>({ results: list(listedResult(listed), TRANSACT_MAX) }),
  );
}

export function batchDefinition(listed: ListedSchemas): OperationDefinition<'batch'> {
  return {
    operation: 'batch',
    kind: 'mutation',
    code: 80,
    args: object<ArgsOf<'batch'>>({ items: list(batchItem(listed), BATCH_MAX) }),
    answer: object<AnswerOf<'batch'>>({ answers: list(batchAnswer(listed), BATCH_MAX) }),
  };
}

const listedMutation = (listed: ListedSchemas): Schema<ListedMutation> => ({
  shape: { mutation: listed.shape },
  write: (to, value) => {
    to.arrayHeader(2);
    listed.writeMutation(to, value);
  },
  read: (from) => {
    if (from.arrayHeader() !== 2) throw from.invalid('expected [code, arguments]');
    return listed.readMutation(from);
  },
});

const listedResult = (listed: ListedSchemas): Schema<ListedResult> => ({
  shape: { result: listed.shape },
  write: (to, value) => {
    to.arrayHeader(2);
    listed.writeResult(to, value);
  },
  read: (from) => {
    if (from.arrayHeader() !== 2) throw from.invalid('expected [code, result]');
    return listed.readResult(from);
  },
});

const ownRequestId = parsedText('request', REQUEST_ID_BYTES_MAX, requestId);

/** `[code, arguments]`, or three parts with a request id of its own. */
const batchItem = (listed: ListedSchemas): Schema<BatchItem> => ({
  shape: { item: [listed.shape, { optional: ownRequestId.shape }] },
  write: (to, value) => {
    to.arrayHeader(value.requestId === undefined ? 2 : 3);
    listed.writeMutation(to, value);
    if (value.requestId !== undefined) ownRequestId.write(to, value.requestId);
  },
  read: (from) => {
    const length = from.arrayHeader();
    if (length !== 2 && length !== 3) throw from.invalid('expected [code, arguments] or [code, arguments, request id]');
    const mutation = listed.readMutation(from);
    return length === 2 ? mutation : { ...mutation, requestId: ownRequestId.read(from) };
  },
});

/** `[version, code, result]`, or the error, which is a map. */
const batchAnswer = (listed: ListedSchemas): Schema<BatchAnswer> => ({
  shape: { answer: ['version', listed.shape] },
  write: (to, value) => {
    if (!value.ok) return wireError.write(to, value.error);
    to.arrayHeader(3);
    version.write(to, value.value.version);
    listed.writeResult(to, value.value);
  },
  read: (from) => {
    if (!from.isArray()) return { ok: false, error: wireError.read(from) };
    if (from.arrayHeader() !== 3) throw from.invalid('expected [version, code, result] or an error');
    const at = version.read(from);
    return { ok: true, value: Object.assign(listed.readResult(from), { version: at }) };
  },
});

const precondition = object<Precondition>({
  node: nodeRef,
  follow: optional(boolean),
  exists: optional(boolean),
  ino: optional(inodeNumber),
  type: optional(inodeType),
  revision: optional(count),
  generation: optional(generation),
  digest: optional(digest),
  empty: optional(boolean),
});
