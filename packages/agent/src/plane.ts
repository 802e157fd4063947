/**
 * What the verbs need of a namespace. Implemented over the wire (`@nokv/client`) and in process (`@nokv/server`);
 * both pass the suite in `@nokv/agent/testing`. Paths and names are text as `formatName` of `@nokv/types` writes it.
 */
import type { NodeCard } from '@nokv/types';

export interface Plane {
  /** Errors: `not-found`, `not-directory`, `symlink-loop`. Symlinks are followed unless `follow` is false. */
  stat(path: string, options?: PlaneOptions & { readonly follow?: boolean }): Promise<PlaneEntry>;
  /** One page of a directory in byte order of names, with attributes. */
  list(path: string, options: PlaneOptions & { readonly after?: string; readonly limit: number }): Promise<PlanePage>;
  /** Opens a body at one generation; ranges read through it all come from that generation. */
  open(path: string, options?: PlaneOptions & { readonly generation?: number }): Promise<PlaneBody>;
}

export interface PlaneOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An entry as the verbs see it: its card, without bytes where text will do. */
export interface PlaneEntry {
  /** Absolute path in normal form. */
  readonly path: string;
  readonly name: string;
  readonly card: NodeCard;
}

export interface PlanePage {
  readonly entries: readonly PlaneEntry[];
  readonly more: boolean;
}

export interface PlaneBody {
  readonly entry: PlaneEntry;
  readonly generation: number;
  readonly size: number;
  /** Up to `length` bytes from `offset`; fewer only at the end. At most 4 MiB a call. */
  read(offset: number, length: number, options?: PlaneOptions): Promise<Uint8Array>;
  /** The bytes from `offset` on, in chunks, with read-ahead. */
  stream(offset: number, options?: PlaneOptions): AsyncIterable<Uint8Array>;
}
