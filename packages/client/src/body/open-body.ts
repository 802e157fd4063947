/** Bodies on their way out: one generation, read through the client's shared cache of verified blocks. */
import { createHash } from 'node:crypto';
import type { NodeRef, ReadPlan } from '@nokv/types';
import { NokvError, bodySize, formatName, generation, isNokvError } from '@nokv/types';
import type { BodyHandle, BodyRange, BodyReuse } from '../body-handle.js';
import type { ClientContext } from '../client-context.js';
import type { CallOptions } from '../metadata-client.js';
import type { GetOptions } from '../nokv-client.js';
import { atArgument } from '../path/moment.js';
import { transferSignal } from '../transfer-signal.js';

const BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;

export async function openBody(context: ClientContext, node: NodeRef, options: GetOptions): Promise<BodyHandle> {
  const args = {
    node,
    ...(options.generation === undefined ? {} : { generation: generation(options.generation) }),
    ...atArgument(options),
  };
  return handleOf(context, await context.metadata.read('open-read', args, options), options.verify ?? false, nameOf(node));
}

/** For people who read that one of its blocks is damaged. */
function nameOf(node: NodeRef): string | undefined {
  return 'path' in node ? formatName(node.path) : undefined;
}

/**
 * @param verify check whole streams against the digest, beside the checksum of each block.
 * @param path for error messages.
 */
export function handleOf(context: ClientContext, plan: ReadPlan, verify = false, path?: string): BodyHandle {
  const { attributes, digest, contentType, body } = plan;
  const size = bodySize(body);

  async function* stream(options: CallOptions & BodyRange & BodyReuse = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = size, reuse } = options;
    checkRange(offset, length);
    const transfer = boundedBy(context, options);
    const isWhole = offset === 0 && length >= size;
    const hash = verify && isWhole && digest?.startsWith('sha256:') === true ? createHash('sha256') : undefined;
    try {
      const range = { offset: Math.min(offset, size), length: Math.max(0, Math.min(length, size - offset)) };
      for await (const chunk of context.reader.stream(body, { ...range, reuse, path, signal: transfer.signal })) {
        hash?.update(chunk);
        yield chunk;
      }
    } catch (error) {
      throw reasonOf(transfer.signal, error);
    } finally {
      transfer.stop();
    }
    if (hash === undefined) return;
    const found = `sha256:${hash.digest('hex')}`;
    if (found !== digest) throw new NokvError('corrupt', `expected a body with digest ${digest}, read one with ${found}`);
  }

  async function bytes(options: CallOptions & { readonly maxBytes?: number } = {}): Promise<Uint8Array> {
    const { maxBytes = BYTES_MAX_DEFAULT } = options;
    if (size > maxBytes)
      throw new NokvError('too-large', `expected a body of at most ${maxBytes} bytes, found ${size}; stream it or read ranges`);
    const whole = new Uint8Array(size);
    let filled = 0;
    for await (const chunk of stream({ ...options, reuse: true })) {
      whole.set(chunk, filled);
      filled += chunk.length;
    }
    return whole;
  }

  return {
    attributes,
    generation: plan.generation,
    size,
    ...(digest === undefined ? {} : { digest }),
    ...(contentType === undefined ? {} : { contentType }),
    stream,
    bytes,
    text: async (options) => new TextDecoder().decode(await bytes(options)),
    async read(offset, length, options = {}) {
      checkRange(offset, length);
      const transfer = boundedBy(context, options);
      try {
        return await context.reader.read(body, offset, length, { path, signal: transfer.signal });
      } catch (error) {
        throw reasonOf(transfer.signal, error);
      } finally {
        transfer.stop();
      }
    },
  };
}

/** A signal of our own only where there is a deadline to keep: reads are many and small. */
export function boundedBy(
  context: ClientContext,
  options: CallOptions,
): { readonly signal: AbortSignal | undefined; readonly stop: () => void } {
  return options.timeoutMs === undefined ? { signal: options.signal, stop: () => undefined } : transferSignal(context.clock, options);
}

/** Our own deadline speaks for itself; whatever else aborted, the reader says `cancelled`. */
export function reasonOf(signal: AbortSignal | undefined, error: unknown): unknown {
  return isNokvError(signal?.reason) ? signal.reason : error;
}

export function checkRange(offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new NokvError('invalid-argument', `expected an offset and a length of 0 or more whole bytes, found ${offset} and ${length}`);
  }
}
