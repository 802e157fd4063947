/** What `/metrics` says of those who watch by path. */
import type { Metrics } from '../metrics.js';
import type { WatchStats } from './watch-hub.js';

export function addWatchMetrics(metrics: Metrics, stats: () => WatchStats): void {
  metrics.add('gauge', 'nokv_watchers', 'Watchers by path.', () => stats().watchers);
  metrics.add('gauge', 'nokv_watchers_behind', 'Watchers by path that read the log by their own cursor.', () => stats().behind);
  metrics.add('gauge', 'nokv_watch_queued_events', 'Events that wait for their watchers.', () => stats().queued);
  metrics.add('gauge', 'nokv_watch_queued_events_max', 'Events that wait for the slowest live watcher.', () => stats().queuedMax);
  metrics.add(
    'gauge',
    'nokv_watch_versions_behind_max',
    'Durable versions that the last of the watchers was not told of.',
    () => stats().versionsBehindMax,
  );
  metrics.add('counter', 'nokv_watch_events_total', 'Events that were handed to watchers by path.', () => stats().events);
  metrics.add('counter', 'nokv_watch_cut_off_total', 'Times that a slow watcher was cut off its queue.', () => stats().cutOff);
}
