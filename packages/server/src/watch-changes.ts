/**
 * The change stream of one watcher: pages of durable changes as the watcher pulls them, then live. A slow watcher holds
 * a cursor and nothing else, however far it lags.
 */
import type { ShardEngine } from '@nokv/meta';
import type { WatchItem } from '@nokv/protocol';
import type { Version } from '@nokv/types';

/** Changes an item; a page of names of 255 bytes each stays well below a frame. */
const PAGE = 1024;

/** Ends when the signal fires. Throws `cursor-too-old` for a cursor before the window, `lease-lost` and its like. */
export async function* watchChanges(engine: ShardEngine, since: Version | undefined, signal: AbortSignal): AsyncGenerator<WatchItem> {
  let cursor = since ?? engine.durableVersion;
  // A cursor may be ahead of what is durable; only what is may be announced.
  let announced = cursor < engine.durableVersion ? cursor : engine.durableVersion;
  yield { kind: 'durable', version: announced };
  while (!signal.aborted) {
    // Read before the page: what is announced afterwards has no change that was not sent.
    const durable = engine.durableVersion;
    const page = await engine.read('changes', { since: cursor, limit: PAGE }, { visible: false });
    if (page.changes.length > 0) yield { kind: 'changes', changes: page.changes, next: page.next };
    if (page.next > cursor) {
      cursor = page.next;
      continue;
    }
    if (durable > announced) {
      announced = durable;
      yield { kind: 'durable', version: durable };
    }
    await durableBeyond(engine, durable, signal);
  }
}

function durableBeyond(engine: ShardEngine, seen: Version, signal: AbortSignal): Promise<void> {
  if (signal.aborted || engine.durableVersion > seen) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stop();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const stop = engine.onDurable(done);
    signal.addEventListener('abort', done, { once: true });
  });
}
