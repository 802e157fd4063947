/**
 * What the verbs need of a namespace. Implemented over the wire (`@nokv/client`) and in process (`@nokv/server`);
 * both pass the suite in `@nokv/agent/testing`. Paths and names are text as `formatName` of `@nokv/types` writes it:
 * UTF-8 as it is, other bytes as `\xHH`, a backslash as `\\`.
 *
 * Errors are `NokvError`s. `cancelled` whenever the signal fired; `invalid-path`, `path-too-long` and
 * `name-too-long` for what is no path; `unavailable` and its kin while the namespace cannot be reached.
 */
import type { Attributes, NodeCard } from '@nokv/types';

export interface Plane {
  /**
   * The whole card of one entry. Symlinks in the last component are followed unless `follow` is false; those before
   * it always. Errors: `not-found`, `not-directory` (a component is no directory), `symlink-loop`.
   */
  stat(path: string, options?: PlaneOptions & { readonly follow?: boolean }): Promise<PlaneEntry>;
  /**
   * One page of a directory in byte order of names: entries strictly after `after` (which need not exist any more),
   * 1 to 4,096 of them. A symlink to a directory is followed. Errors: those of `stat`; `not-directory` for a file.
   */
  list(path: string, options: PlaneOptions & { readonly after?: string; readonly limit: number }): Promise<PlanePage>;
  /**
   * Opens a file's body at one generation (default: the current one); all that is read through it comes from that
   * generation, whatever happens to the path meanwhile. Symlinks are followed. Errors: those of `stat`;
   * `is-directory`, `not-regular-file`; of kind `not-found` for a generation that the file never had or that is gone.
   */
  open(path: string, options?: PlaneOptions & { readonly generation?: number }): Promise<PlaneBody>;
}

export interface PlaneOptions {
  readonly signal?: AbortSignal | undefined;
}

/** `stat` and `open` fill in what is kept beside the inode; `list` need not. */
export type PlaneCard = Attributes & Partial<Omit<NodeCard, keyof Attributes>>;

/** An entry as the verbs see it. */
export interface PlaneEntry {
  /** The path that was asked for (or lies below it), absolute and in normal form; symlinks in it are not resolved. */
  readonly path: string;
  /** The last component; empty for the root. */
  readonly name: string;
  readonly card: PlaneCard;
}

export interface PlanePage {
  readonly entries: readonly PlaneEntry[];
  /** Whether anything comes after the last entry. */
  readonly more: boolean;
}

export interface PlaneBody {
  readonly entry: PlaneEntry;
  readonly generation: number;
  readonly size: number;
  /** Up to `length` bytes from `offset`; fewer only at the end, none beyond it. At most 4 MiB a call. */
  read(offset: number, length: number, options?: PlaneOptions): Promise<Uint8Array>;
  /** The bytes from `offset` to the end, in chunks, with read-ahead. Ending the iteration frees what was fetched. */
  stream(offset: number, options?: PlaneOptions): AsyncIterable<Uint8Array>;
}

/** Bytes that one `read` may ask for. */
export const PLANE_READ_BYTES_MAX = 4 * 1024 * 1024;
