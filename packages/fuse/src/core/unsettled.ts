/**
 * Mutations that were acknowledged as visible and are not known to be durable: kept until they are, and sent again under their
 * request ids when the server may have lost them.
 *
 * Invariant: in the order in which they were acknowledged. A version that is announced as durable settles a mutation only if no
 * connection was made since its acknowledgement: a server that was killed may have forgotten it and given later versions out.
 */
import type { Attributes, Generation, InodeNumber, MutationOperation, MutationOperations, RequestId, Version } from '@nokv/types';

export interface UnsettledMutation {
  readonly operation: MutationOperation;
  readonly args: MutationOperations[MutationOperation]['args'];
  readonly requestId: RequestId;
  /** Wall clock when it was first sent. */
  readonly sentAtMs: number;
  readonly version: Version;
  /** How many connections had been made when it was acknowledged. */
  readonly connections: number;
  readonly made: Made;
}

/** What a mutation gave a number to. */
export interface Made {
  readonly ino?: InodeNumber;
  readonly generation?: Generation;
}

/** Numbers that a repeat gave anew, by those that were shown first. */
export interface Repeats {
  readonly inodes: Map<InodeNumber, InodeNumber>;
  readonly generations: Map<Generation, Generation>;
}

const MUTATIONS_MAX = 4096;
const BYTES_MAX = 32 * 1024 * 1024;

export class Unsettled {
  #mutations: UnsettledMutation[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#mutations.length === 0;
  }

  /** So many wait that the next one should wait for them. */
  get isFull(): boolean {
    return this.#mutations.length >= MUTATIONS_MAX || this.#bytes >= BYTES_MAX;
  }

  add(mutation: UnsettledMutation): void {
    this.#mutations.push(mutation);
    this.#bytes += bytesOf(mutation);
  }

  /** Forgets what is durable for certain. */
  settle(durable: Version, connections: number): void {
    let settled = 0;
    for (const mutation of this.#mutations) {
      if (mutation.version > durable || mutation.connections !== connections) break;
      this.#bytes -= bytesOf(mutation);
      settled += 1;
    }
    if (settled > 0) this.#mutations = this.#mutations.slice(settled);
  }

  /** Some were acknowledged over another connection than the present one. */
  isDoubtful(connections: number): boolean {
    return this.#mutations[0] !== undefined && this.#mutations[0].connections !== connections;
  }

  /** Oldest first. */
  all(): readonly UnsettledMutation[] {
    return this.#mutations;
  }

  /** The oldest ones were sent again and are durable. */
  dropFirst(count: number): void {
    for (const mutation of this.#mutations.slice(0, count)) this.#bytes -= bytesOf(mutation);
    this.#mutations = this.#mutations.slice(count);
  }
}

function bytesOf({ args }: UnsettledMutation): number {
  return 'body' in args && args.body.kind === 'inline' ? args.body.bytes.length : 0;
}

export function madeBy(operation: MutationOperation, result: object): Made {
  const { attributes } = result as { readonly attributes?: Attributes };
  if (attributes === undefined) return {};
  switch (operation) {
    case 'create':
    case 'mkdir':
    case 'symlink':
      return { ino: attributes.ino };
    case 'publish':
    case 'setattr':
      return { generation: attributes.generation };
    default:
      return {};
  }
}

const INODE_FIELDS: ReadonlySet<string> = new Set(['ino', 'parent', 'base']);
const REFERENCE_FIELDS: ReadonlySet<string> = new Set(['node', 'entry', 'from', 'to']);

/** The same arguments with the numbers that repeats gave. */
export function withRepeats<Args extends object>(args: Args, repeats: Repeats): Args {
  if (repeats.inodes.size === 0 && repeats.generations.size === 0) return args;
  const entries = Object.entries(args).map(([name, value]: [string, unknown]) => {
    if (INODE_FIELDS.has(name) && typeof value === 'number') return [name, repeats.inodes.get(value as InodeNumber) ?? value];
    if (name === 'ifGeneration') return [name, repeats.generations.get(value as Generation) ?? value];
    if (REFERENCE_FIELDS.has(name) && typeof value === 'object' && value !== null) return [name, withRepeats(value, repeats)];
    return [name, value];
  });
  return Object.fromEntries(entries) as Args;
}
