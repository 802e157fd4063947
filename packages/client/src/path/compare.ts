/** Differences of two places, now or at moments. */
import type { DiffSide } from '@nokv/types';
import { formatName } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { Difference, DiffPoint } from '../history.js';
import type { CallOptions } from '../metadata-client.js';
import { transferSignal } from '../transfer-signal.js';
import { pathBytes } from './arguments.js';
import { atArgument } from './moment.js';

/** A comparison takes as long as there is to compare: it has a deadline only when the caller names one. */
export async function* comparePaths(context: ClientContext, a: DiffPoint, b: DiffPoint, options: CallOptions): AsyncGenerator<Difference> {
  const args = { a: sideOf(a), b: sideOf(b) };
  const { signal, stop } = transferSignal(context.clock, options);
  try {
    for await (const { rows } of context.metadata.diff(args, { signal })) {
      for (const { path, fromPath, ...rest } of rows) {
        const from = fromPath === undefined ? {} : { fromPath: formatName(fromPath), fromPathBytes: fromPath };
        yield { ...rest, path: formatName(path), pathBytes: path, ...from };
      }
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    stop();
  }
}

function sideOf(point: DiffPoint): DiffSide {
  if (typeof point === 'string' || point instanceof Uint8Array) return { node: { path: pathBytes(point) } };
  return { node: { path: pathBytes(point.path) }, ...atArgument(point) };
}
