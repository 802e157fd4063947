/**
 * Mutations as items of lists: `[code, arguments]`, their results `[code, result]`. The codes and schemas are those that the
 * operations have alone.
 */
import { LISTED_OPERATIONS, NokvError, type ListedMutation, type ListedOperation, type ListedResult } from '@nokv/types';
import type { MessageReader } from '../message-reader.js';
import type { MessageWriter } from '../message-writer.js';
import type { Schema } from '../schema.js';
import { unsendable } from '../schema.js';

/** What a list needs to know of an operation. */
export interface ListedDefinition {
  readonly operation: string;
  readonly code: number;
  readonly args: Schema<never>;
  readonly result: Schema<never>;
}

interface Known {
  readonly operation: ListedOperation;
  readonly code: number;
  readonly args: Schema<unknown>;
  readonly result: Schema<unknown>;
}

export class ListedSchemas {
  readonly #byName = new Map<string, Known>();
  readonly #byCode = new Map<number, Known>();

  constructor(definitions: readonly ListedDefinition[]) {
    const listed: ReadonlySet<string> = new Set(LISTED_OPERATIONS);
    for (const definition of definitions) {
      if (!listed.has(definition.operation)) continue;
      const known = definition as unknown as Known;
      this.#byName.set(known.operation, known);
      this.#byCode.set(known.code, known);
    }
  }

  get shape(): Schema<unknown>['shape'] {
    return [...this.#byCode.keys()];
  }

  writeMutation(to: MessageWriter, { operation, args }: ListedMutation): void {
    const known = this.#named(operation);
    to.int(known.code);
    known.args.write(to, args);
  }

  readMutation(from: MessageReader): ListedMutation {
    const known = this.#coded(from);
    return { operation: known.operation, args: known.args.read(from) } as ListedMutation;
  }

  writeResult(to: MessageWriter, { operation, result }: ListedResult): void {
    const known = this.#named(operation);
    to.int(known.code);
    known.result.write(to, result);
  }

  readResult(from: MessageReader): ListedResult {
    const known = this.#coded(from);
    return { operation: known.operation, result: known.result.read(from) } as ListedResult;
  }

  #named(operation: string): Known {
    const known = this.#byName.get(operation);
    if (known === undefined) throw unsendable(`a list takes ${LISTED_OPERATIONS.join(', ')}, found ${operation}`);
    return known;
  }

  #coded(from: MessageReader): Known {
    const code = from.int();
    const known = this.#byCode.get(code);
    if (known === undefined) {
      throw new NokvError('unknown-operation', `no operation of lists has the code ${code}; this side may be older than its peer`, {
        details: { code },
      });
    }
    return known;
  }
}
