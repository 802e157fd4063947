import { expect, it } from 'vitest';
import { NokvError } from '@nokv/types';
import { makeMetrics } from './metrics.js';

it('renders counters, labelled gauges and cumulative histograms', () => {
  const metrics = makeMetrics();
  metrics.add('counter', 'a_total', 'A.', () => 3);
  metrics.add('gauge', 'b', 'B.', () => [[{ shard: '0' }, 7]]);
  const latencies = metrics.addLatencies('c', 'C.', 'operation');
  latencies.observe('stat', 0.04);
  latencies.observe('stat', 3, new NokvError('not-found', 'gone'));
  latencies.observe('stat', 60_000);
  const page = metrics.render();
  expect(page).toContain('# TYPE a_total counter\na_total 3\n');
  expect(page).toContain('b{shard="0"} 7\n');
  expect(page).toContain('c_seconds_bucket{operation="stat",le="0.00005"} 1\n');
  expect(page).toContain('c_seconds_bucket{operation="stat",le="0.005"} 2\n');
  expect(page).toContain('c_seconds_bucket{operation="stat",le="10"} 2\n');
  expect(page).toContain('c_seconds_bucket{operation="stat",le="+Inf"} 3\n');
  expect(page).toContain('c_errors_total{operation="stat",code="not-found"} 1\n');
  expect(page).toMatch(/^(# (HELP|TYPE) .*\n|[a-z_]+(\{[^}]*\})? [0-9.e+-]+\n)+$/);
});
