/** The verbs' view of a namespace, over a client: paths as text, bodies at one generation. */
import type { Plane, PlaneBody, PlaneEntry, PlaneOptions, PlanePage } from '@nokv/agent';
// The port alone: the verbs behind the package's main door bring a schema library that a client has no use for.
import { PLANE_READ_BYTES_MAX } from '@nokv/agent/plane';
import { NokvError, formatName, parsePath } from '@nokv/types';
import type { AtOption } from './history.js';
import type { NokvClient } from './nokv-client.js';

/** The plane borrows the client; closing the client ends it. With `at` it shows the namespace as it was at that moment. */
export function wirePlane(client: NokvClient, { at }: AtOption = {}): Plane {
  return {
    async stat(path, options = {}) {
      const normal = normalPath(path);
      const follow = options.follow === undefined ? {} : { follow: options.follow };
      return entryOf(normal, await client.stat(normal, { signal: options.signal, at, ...follow }));
    },
    async list(path, options) {
      const normal = normalPath(path);
      const { entries, more } = await client.listPage(normal, { signal: options.signal, at, limit: options.limit, after: options.after });
      const prefix = normal === '/' ? '' : normal;
      return {
        entries: entries.map(({ name, attributes }) => ({ path: `${prefix}/${name}`, name, card: mustHave(attributes) })),
        more,
      } satisfies PlanePage;
    },
    open: (path, options = {}) => openPlaneBody(client, path, { ...options, at }),
  };
}

async function openPlaneBody(
  client: NokvClient,
  path: string,
  options: PlaneOptions & AtOption & { readonly generation?: number },
): Promise<PlaneBody> {
  const normal = normalPath(path);
  const { signal, generation: asked, at } = options;
  // A generation is cited with its path as it is now: it answers for itself, whatever moment the rest is shown at.
  const handle = await client.get(normal, asked === undefined ? { signal, at } : { signal, generation: asked });
  const { attributes, digest, contentType, generation, size } = handle;
  const card = { ...attributes, ...(digest === undefined ? {} : { digest }), ...(contentType === undefined ? {} : { contentType }) };
  return {
    entry: entryOf(normal, card),
    generation,
    size,
    async read(offset, length, call = {}) {
      if (length > PLANE_READ_BYTES_MAX) {
        throw new NokvError(
          'too-large',
          `expected at most ${PLANE_READ_BYTES_MAX} bytes a read, found ${length}; read in several calls or stream`,
        );
      }
      return handle.read(offset, length, { signal: call.signal });
    },
    stream: (offset, call = {}) => handle.stream({ offset, signal: call.signal }),
  };
}

/** As people write it, resolved: what comes back in entries. */
function normalPath(path: string): string {
  return formatName(parsePath(path));
}

function entryOf(path: string, card: PlaneEntry['card']): PlaneEntry {
  return { path, name: path.slice(path.lastIndexOf('/') + 1), card };
}

function mustHave<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new NokvError('internal', 'a listing with attributes came without them');
  return value;
}
