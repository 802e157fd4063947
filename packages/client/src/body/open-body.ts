/** Bodies on their way out. */
import type { NodeRef, ReadPlan } from '@nokv/types';
import { NokvError, generation } from '@nokv/types';
import type { BodyHandle, BodyRange } from '../body-handle.js';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { GetOptions } from '../nokv-client.js';

const BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;

export async function openBody(context: ClientContext, node: NodeRef, options: GetOptions): Promise<BodyHandle> {
  const args = options.generation === undefined ? { node } : { node, generation: generation(options.generation) };
  return handleOf(context, await context.metadata.read('open-read', args, options));
}

export function handleOf(context: ClientContext, plan: ReadPlan): BodyHandle {
  void context;
  const { attributes, digest, contentType, body } = plan;
  if (body.kind !== 'inline') throw new NokvError('unsupported', 'this build of the client has no way to reach blocks');
  const { bytes } = body;
  return {
    attributes,
    generation: plan.generation,
    size: bytes.length,
    ...(digest === undefined ? {} : { digest }),
    ...(contentType === undefined ? {} : { contentType }),
    async *stream({ offset = 0, length = bytes.length }: CallOptions & BodyRange = {}) {
      const part = bytes.subarray(offset, offset + length);
      if (part.length > 0) yield part;
    },
    async bytes({ maxBytes = BYTES_MAX_DEFAULT } = {}) {
      if (bytes.length > maxBytes) throw new NokvError('too-large', `expected at most ${maxBytes} bytes, the body has ${bytes.length}; stream it`);
      return bytes.slice();
    },
    async text() {
      return Buffer.from(bytes).toString('utf8');
    },
    read: async (offset, length) => bytes.slice(offset, offset + length),
  };
}
