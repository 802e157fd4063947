/** {@link Tags} over the inode-level client. */
import type { PinId } from '@nokv/types';
import { pinId } from '@nokv/types';
import type { Pin, PinListOptions, PinOutcome, TagOptions, Tags } from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import type { MutationOptions, PathLike } from '../nokv-client.js';
import { pathBytes } from './arguments.js';
import type { Commits } from './commits.js';
import { atArgument } from './moment.js';
import { labelList, listPins, shownPin } from './pins.js';

export class PathTags implements Tags {
  readonly #metadata: MetadataClient;
  readonly #commits: Commits;

  constructor(metadata: MetadataClient, commits: Commits) {
    this.#metadata = metadata;
    this.#commits = commits;
  }

  set(name: string, path: PathLike, options: TagOptions = {}): Promise<PinOutcome> {
    return this.#commits.run(options, (call) => this.#put(name, path, options.ifPin, options, call));
  }

  move(name: string, path: PathLike, options: TagOptions = {}): Promise<PinOutcome> {
    return this.#commits.run(options, async (call) => {
      // It must be there. What it is now does not go into the arguments: the same request id means the same move when it is asked again.
      if (options.ifPin === undefined) await this.get(name, { signal: call.signal, timeoutMs: call.timeoutMs });
      return this.#put(name, path, options.ifPin, options, call);
    });
  }

  list(options: PinListOptions = {}): AsyncIterable<Pin> {
    return listPins(this.#metadata, 'tag', options);
  }

  async get(name: string, options: CallOptions = {}): Promise<Pin> {
    return shownPin(await this.#metadata.read('pin', { pin: { tag: name } }, options));
  }

  remove(name: string, options: MutationOptions & { readonly ifPin?: PinId | number | undefined } = {}): Promise<PinOutcome> {
    const { ifPin } = options;
    return this.#commits.run(options, async (call) => {
      const args = { name, ...(ifPin === undefined ? {} : { ifPin: pinId(ifPin) }) };
      const { version, result } = await this.#metadata.mutate('tag-remove', args, call);
      return { version, pin: shownPin(result.pin) };
    });
  }

  async #put(name: string, path: PathLike, ifPin: PinId | number | undefined, options: TagOptions, call: MutationOptions) {
    const args = {
      name,
      node: { path: pathBytes(path) },
      ...atArgument(options),
      ...(ifPin === undefined ? {} : { ifPin: ifPin === 0 ? (0 as const) : pinId(ifPin) }),
      ...labelList(options.labels),
    };
    const { version, result } = await this.#metadata.mutate('tag-set', args, call);
    return { version, pin: shownPin(result.pin) };
  }
}
