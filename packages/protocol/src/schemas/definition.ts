/** What is known of one operation, and the makers of definitions by kind. */
import type { MutationOperation, ReadOperation } from '@nokv/types';
import type { Fields, Schema } from '../schema.js';
import { object } from '../schema.js';
import type {
  AnswerOf,
  ArgsOf,
  ItemOf,
  Operation,
  ServiceOperation,
  StreamOperation,
  WireCommitted,
  WireMutationResult,
} from '../wire-operations.js';
import { version } from './values.js';

export type OperationKind = 'read' | 'mutation' | 'service' | 'stream';

export interface OperationDefinition<Op extends Operation = Operation> {
  readonly operation: Op;
  readonly kind: OperationKind;
  readonly code: number;
  readonly args: Schema<ArgsOf<Op>>;
  /** The payload of the response, or of each item of a stream. */
  readonly answer: Op extends StreamOperation ? Schema<ItemOf<Op>> : Schema<AnswerOf<Exclude<Op, StreamOperation>>>;
}

/** A mutation's definition with the schema of its result alone, as lists need it. */
export type MutationDefinition<Op extends MutationOperation> = OperationDefinition<Op> & {
  readonly result: Schema<WireMutationResult<Op>>;
};

export function read<Op extends ReadOperation>(
  operation: Op,
  code: number,
  args: Fields<ArgsOf<Op>>,
  answer: Schema<AnswerOf<Op>>,
): OperationDefinition<Op> {
  return { operation, kind: 'read', code, args: object<ArgsOf<Op>>(args), answer: answer as OperationDefinition<Op>['answer'] };
}

export function service<Op extends ServiceOperation>(
  operation: Op,
  code: number,
  args: Fields<ArgsOf<Op>>,
  answer: Schema<AnswerOf<Op>>,
): OperationDefinition<Op> {
  return { operation, kind: 'service', code, args: object<ArgsOf<Op>>(args), answer: answer as OperationDefinition<Op>['answer'] };
}

export function stream<Op extends StreamOperation>(
  operation: Op,
  code: number,
  args: Fields<ArgsOf<Op>>,
  item: Schema<ItemOf<Op>>,
): OperationDefinition<Op> {
  return { operation, kind: 'stream', code, args: object<ArgsOf<Op>>(args), answer: item as OperationDefinition<Op>['answer'] };
}

/** The answer is `[version, result]`. */
export function mutation<Op extends MutationOperation>(
  operation: Op,
  code: number,
  args: Fields<ArgsOf<Op>>,
  result: Schema<WireMutationResult<Op>>,
): MutationDefinition<Op> {
  const answer: Schema<WireCommitted<WireMutationResult<Op>>> = {
    shape: ['version', result.shape],
    write: (to, value) => {
      to.arrayHeader(2);
      version.write(to, value.version);
      result.write(to, value.result);
    },
    read: (from) => {
      if (from.arrayHeader() !== 2) throw from.invalid('expected [version, result]');
      return { version: version.read(from), result: result.read(from) };
    },
  };
  return {
    operation,
    kind: 'mutation',
    code,
    args: object<ArgsOf<Op>>(args),
    answer: answer as unknown as OperationDefinition<Op>['answer'],
    result,
  };
}
