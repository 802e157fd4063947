/** The verbs' view of the namespace from inside the process: no wire, the same rules. */
import type { Plane, PlaneBody, PlaneEntry, PlaneOptions, PlanePage } from '@nokv/agent';
import { BodyReader, blocksOf, type DiskCache, type ObjectStore } from '@nokv/object';
import {
  NokvError,
  bodySize,
  formatName,
  generation,
  joinPath,
  parseName,
  parsePath,
  splitPath,
  type Attributes,
  type ReadOperation,
  type ReadOperations,
  type ReadResult,
} from '@nokv/types';
import type { Service } from './service.js';

export interface LocalPlaneParts {
  readonly service: Pick<Service, 'read'>;
  readonly store: ObjectStore;
  /** Blocks kept on the disk, beside those in memory. */
  readonly disk?: DiskCache | undefined;
}

/** As `PLANE_READ_BYTES_MAX` says; its package is not loaded by a server that runs no verbs. */
const READ_BYTES_MAX = 4 * 1024 * 1024;
/** Bodies that the verbs read are small or read once: a cache of a few blocks. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** The server's memory is for others, too. */
const READ_AHEAD_BYTES_MAX = 16 * 1024 * 1024;

export function localPlane(parts: LocalPlaneParts): Plane {
  const reader = new BodyReader({
    store: blocksOf(parts.store),
    disk: parts.disk,
    cacheBytes: CACHE_BYTES,
    readAheadBytesMax: READ_AHEAD_BYTES_MAX,
  });

  async function ask<Op extends ReadOperation>(
    operation: Op,
    args: ReadOperations[Op]['args'],
    options: PlaneOptions,
  ): Promise<ReadResult<Op>> {
    throwIfAborted(options.signal);
    const answer = await parts.service.read(operation, args, { visible: false });
    throwIfAborted(options.signal);
    return answer;
  }

  return {
    async stat(text, options = {}) {
      const path = parsePath(text);
      const { follow } = options;
      const card = await ask('stat', { node: { path }, ...(follow === undefined ? {} : { follow }) }, options);
      return entryAt(path, card);
    },

    async list(text, options): Promise<PlanePage> {
      const path = parsePath(text);
      const after = options.after === undefined ? {} : { after: parseName(options.after) };
      const page = await ask('list', { node: { path }, limit: options.limit, attributes: true, ...after }, options);
      const names = splitPath(path);
      const entries = page.entries.map(({ name, attributes }) => entryAt(joinPath([...names, name]), mustHave(attributes)));
      return { entries, more: page.more };
    },

    async open(text, options = {}): Promise<PlaneBody> {
      const path = parsePath(text);
      const wanted = options.generation === undefined ? {} : { generation: generation(options.generation) };
      const plan = await ask('open-read', { node: { path }, ...wanted }, options);
      const { digest, contentType, body } = plan;
      const entry = entryAt(path, {
        ...plan.attributes,
        inline: body.kind === 'inline',
        ...(digest === undefined ? {} : { digest }),
        ...(contentType === undefined ? {} : { contentType }),
      });
      const shown = formatName(path);
      return {
        entry,
        generation: plan.generation,
        size: bodySize(body),
        async read(offset, length, { signal } = {}) {
          throwIfAborted(signal);
          if (length > READ_BYTES_MAX)
            throw new NokvError('invalid-argument', `expected at most ${READ_BYTES_MAX} bytes a read, found ${length}`);
          return reader.read(body, offset, length, { signal, path: shown });
        },
        stream: (offset, { signal } = {}) => reader.stream(body, { offset, signal, path: shown }),
      };
    },
  };
}

function entryAt(path: Uint8Array, card: PlaneEntry['card']): PlaneEntry {
  const names = splitPath(path);
  return { path: formatName(path), name: formatName(names.at(-1) ?? new Uint8Array()), card };
}

function mustHave(attributes: Attributes | undefined): Attributes {
  if (attributes === undefined) throw new NokvError('internal', 'a listing with attributes came without them');
  return attributes;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new NokvError('cancelled', 'the caller gave up');
}
