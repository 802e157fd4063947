/** Gathers mutations; bodies that do not fit into the metadata are staged when the list is sent. */
import { INLINE_BYTES_MAX, NokvError, type ListedMutation, type RequestId, type UploadId } from '@nokv/types';
import { stageBody, stageBytes } from '../body/stage-body.js';
import { endUpload } from '../body/upload-lease.js';
import type { ClientContext } from '../client-context.js';
import type { MutationList } from '../lists.js';
import type { AttributeChanges, MkdirOptions, MutationOptions, PathLike, PublishOptions, StagedBody } from '../nokv-client.js';
import type { PutSource } from '../put-source.js';
import { transferSignal } from '../transfer-signal.js';
import { defined, nameBytes, pathBytes, timeOrNow, valueBytes } from './arguments.js';
import { derivedRequestId, publishArgs } from './publish-body.js';

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;

type PutOptions = Pick<MutationOptions, 'owner'> & Omit<PublishOptions, keyof MutationOptions>;
type Waiting = ListedMutation | { readonly path: Uint8Array; readonly source: PutSource; readonly options: PutOptions };

/** The mutations as they are sent, and the uploads that were begun for them. */
export interface Prepared {
  readonly mutations: readonly ListedMutation[];
  readonly uploads: readonly UploadId[];
}

export class PathMutationList implements MutationList {
  protected readonly context: ClientContext;
  readonly #list: Waiting[] = [];
  #isSent = false;

  constructor(context: ClientContext) {
    this.context = context;
  }

  get length(): number {
    return this.#list.length;
  }

  mkdir(path: PathLike, options: Pick<MkdirOptions, 'owner' | 'mode' | 'parents'> = {}): this {
    const { mode = DIRECTORY_MODE, parents = false, owner = this.context.owner } = options;
    return this.#add({ operation: 'mkdir', args: { entry: at(path), mode, parents, ...owner } });
  }

  create(path: PathLike, options: Pick<MutationOptions, 'owner'> & { readonly mode?: number; readonly exclusive?: boolean } = {}): this {
    const { mode = FILE_MODE, exclusive = true, owner = this.context.owner } = options;
    return this.#add({ operation: 'create', args: { entry: at(path), mode, type: 'file', exclusive, ...owner } });
  }

  put(path: PathLike, source: PutSource | StagedBody, options: PutOptions = {}): this {
    const { path: place } = at(path);
    if (isStaged(source)) return this.#add(this.#publish(place, source, options));
    const bytes = source instanceof Uint8Array ? source : typeof source === 'string' ? Buffer.from(source, 'utf8') : undefined;
    if (bytes !== undefined && bytes.length <= INLINE_BYTES_MAX) return this.#add(this.#publish(place, stageBytes(bytes), options));
    return this.#add({ path: place, source, options });
  }

  symlink(target: string | Uint8Array, path: PathLike, options: Pick<MutationOptions, 'owner'> = {}): this {
    const { owner = this.context.owner } = options;
    return this.#add({ operation: 'symlink', args: { entry: at(path), target: valueBytes(target), ...owner } });
  }

  link(existing: PathLike, path: PathLike): this {
    return this.#add({ operation: 'link', args: { node: at(existing), entry: at(path) } });
  }

  unlink(path: PathLike): this {
    return this.#add({ operation: 'unlink', args: { entry: at(path) } });
  }

  rmdir(path: PathLike): this {
    return this.#add({ operation: 'rmdir', args: { entry: at(path) } });
  }

  removeTree(path: PathLike): this {
    return this.#add({ operation: 'remove-tree', args: { entry: at(path) } });
  }

  rename(from: PathLike, to: PathLike, mode: 'replace' | 'no-replace' | 'exchange' = 'replace'): this {
    return this.#add({ operation: 'rename', args: { from: at(from), to: at(to), mode } });
  }

  setattr(path: PathLike, changes: AttributeChanges, options: { readonly follow?: boolean } = {}): this {
    const { mode, uid, gid, size, atime, mtime } = changes;
    const times = { atime: atime === undefined ? undefined : timeOrNow(atime), mtime: mtime === undefined ? undefined : timeOrNow(mtime) };
    const { follow } = options;
    return this.#add({ operation: 'setattr', args: { node: at(path), ...defined({ follow, mode, uid, gid, size, ...times }) } });
  }

  setXattr(path: PathLike, name: string | Uint8Array, value: string | Uint8Array, mode: 'set' | 'create' | 'replace' = 'set'): this {
    return this.#add({ operation: 'xattr-set', args: { node: at(path), name: nameBytes(name), value: valueBytes(value), mode } });
  }

  removeXattr(path: PathLike, name: string | Uint8Array): this {
    return this.#add({ operation: 'xattr-remove', args: { node: at(path), name: nameBytes(name) } });
  }

  /** Stages what has to be uploaded. When that fails, what was staged before is given up. */
  protected async prepare(options: Omit<MutationOptions, 'owner'>): Promise<Prepared> {
    if (this.#isSent) throw new NokvError('invalid-argument', 'this list was sent already; gather another');
    this.#isSent = true;
    const mutations: ListedMutation[] = [];
    const uploads: UploadId[] = [];
    const { signal, stop } = transferSignal(this.context.clock, options);
    try {
      for (const [place, waiting] of this.#list.entries()) {
        if ('operation' in waiting) {
          mutations.push(waiting);
          continue;
        }
        const body = await stageBody(this.context, waiting.source, { signal, uploadRequestId: uploadId(options.requestId, place) });
        if (body.staged.upload !== undefined) uploads.push(body.staged.upload);
        mutations.push(this.#publish(waiting.path, body, waiting.options));
      }
    } catch (error) {
      await this.giveUp(uploads);
      throw error;
    } finally {
      stop();
    }
    return { mutations, uploads };
  }

  protected async giveUp(uploads: readonly UploadId[]): Promise<void> {
    for (const upload of uploads) await endUpload(this.context, upload);
  }

  #publish(path: Uint8Array, body: StagedBody, options: PutOptions): ListedMutation {
    return { operation: 'publish', args: publishArgs(this.context, { path }, body, options) };
  }

  #add(waiting: Waiting): this {
    this.#list.push(waiting);
    return this;
  }
}

/** Under the caller's own id a repeat meets the upload that it began before. */
function uploadId(id: RequestId | undefined, place: number): RequestId | undefined {
  return id === undefined ? undefined : derivedRequestId(id, `u${place}`);
}

function isStaged(source: PutSource | StagedBody): source is StagedBody {
  return typeof source === 'object' && 'staged' in source;
}

function at(path: PathLike): { readonly path: Uint8Array } {
  return { path: pathBytes(path) };
}
