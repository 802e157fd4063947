/** {@link Snapshots} over the inode-level client. */
import type { PinId } from '@nokv/types';
import { SNAPSHOT_TTL_MS_DEFAULT, pinId } from '@nokv/types';
import type { Pin, PinListOptions, PinOutcome, SnapshotOptions, Snapshots } from '../history.js';
import type { CallOptions, MetadataClient } from '../metadata-client.js';
import type { MutationOptions, PathLike } from '../nokv-client.js';
import { pathBytes } from './arguments.js';
import type { Commits } from './commits.js';
import { labelList, listPins, shownPin } from './pins.js';

export class PathSnapshots implements Snapshots {
  readonly #metadata: MetadataClient;
  readonly #commits: Commits;

  constructor(metadata: MetadataClient, commits: Commits) {
    this.#metadata = metadata;
    this.#commits = commits;
  }

  create(path: PathLike, options: SnapshotOptions = {}): Promise<PinOutcome> {
    const { ttlMs = SNAPSHOT_TTL_MS_DEFAULT, name, labels } = options;
    return this.#commits.run(options, async (call) => {
      const args = { node: { path: pathBytes(path) }, ttlMs, ...(name === undefined ? {} : { name }), ...labelList(labels) };
      const { version, result } = await this.#metadata.mutate('snapshot-create', args, call);
      return { version, pin: shownPin(result.pin) };
    });
  }

  list(options: PinListOptions = {}): AsyncIterable<Pin> {
    return listPins(this.#metadata, 'snapshot', options);
  }

  async get(snapshot: PinId | number, options: CallOptions = {}): Promise<Pin> {
    return shownPin(await this.#metadata.read('pin', { pin: { snapshot: pinId(snapshot) } }, options));
  }

  renew(snapshot: PinId | number, options: MutationOptions & { readonly ttlMs?: number | undefined } = {}): Promise<PinOutcome> {
    const { ttlMs = SNAPSHOT_TTL_MS_DEFAULT } = options;
    return this.#commits.run(options, async (call) => {
      const { version, result } = await this.#metadata.mutate('snapshot-renew', { snapshot: pinId(snapshot), ttlMs }, call);
      return { version, pin: shownPin(result.pin) };
    });
  }

  retire(snapshot: PinId | number, options: MutationOptions = {}): Promise<PinOutcome> {
    return this.#commits.run(options, async (call) => {
      const { version, result } = await this.#metadata.mutate('snapshot-retire', { snapshot: pinId(snapshot) }, call);
      return { version, pin: shownPin(result.pin) };
    });
  }
}
