/** Differences of two places, now or at moments. */
import type { DiffSide } from '@nokv/types';
import { formatName, parseName } from '@nokv/types';
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
  /** Directories that were renamed, by where they are now: their row comes before those of what is in them. */
  const moved = new Map<string, Uint8Array>();
  try {
    for await (const { rows } of context.metadata.diff(args, { signal })) {
      for (const { path, fromPath, ...rest } of rows) {
        const text = formatName(path);
        if (fromPath !== undefined && rest.b?.type === 'directory') moved.set(text, fromPath);
        const from = rest.a === undefined || rest.b === undefined ? undefined : (fromPath ?? placeBefore(moved, text, path));
        const fromNames = from === undefined ? {} : { fromPath: formatName(from), fromPathBytes: from };
        yield { ...rest, path: text, pathBytes: path, ...fromNames };
      }
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    stop();
  }
}

/** Where a node lay that is now inside a renamed directory. */
function placeBefore(moved: ReadonlyMap<string, Uint8Array>, text: string, path: Uint8Array): Uint8Array | undefined {
  if (moved.size === 0) return undefined;
  for (let slash = text.lastIndexOf('/'); slash > 0; slash = text.lastIndexOf('/', slash - 1)) {
    const directory = text.slice(0, slash);
    const from = moved.get(directory);
    if (from !== undefined) return Buffer.concat([from, path.subarray(parseName(directory).length)]);
  }
  return undefined;
}

function sideOf(point: DiffPoint): DiffSide {
  if (typeof point === 'string' || point instanceof Uint8Array) return { node: { path: pathBytes(point) } };
  return { node: { path: pathBytes(point.path) }, ...atArgument(point) };
}
