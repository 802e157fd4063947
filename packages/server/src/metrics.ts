/**
 * Numbers of the process in Prometheus' text format (0.0.4). Own registry: an observation on the request path costs a
 * map lookup and two additions, which a label-hashing registry does not reach.
 */
import type { NokvError } from '@nokv/types';

export interface Metrics {
  /** Read when scraped. One value, or one for each set of labels. */
  add(kind: 'counter' | 'gauge', name: string, help: string, read: () => number | Iterable<LabelledValue>): void;
  /** Latencies in milliseconds, one histogram for each value of `label`; counts failures by error code beside it. */
  addLatencies(name: string, help: string, label: string): Latencies;
  /** The whole page. */
  render(): string;
}

export type LabelledValue = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface Latencies {
  observe(labelValue: string, elapsedMs: number, error?: NokvError | undefined): void;
}

/** Upper bounds in seconds: a cached read takes tens of microseconds, a slow store seconds. */
const BOUNDS_SEC = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Histogram {
  readonly counts: number[];
  sumMs: number;
  total: number;
  readonly errors: Map<string, number>;
}

export function makeMetrics(): Metrics {
  const families: (() => string)[] = [];
  return {
    add(kind, name, help, read) {
      families.push(() => {
        const value = read();
        const rows =
          typeof value === 'number' ? [`${name} ${value}`] : [...value].map(([labels, each]) => `${name}${format(labels)} ${each}`);
        return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${rows.map((row) => `${row}\n`).join('')}`;
      });
    },
    addLatencies(name, help, label) {
      const histograms = new Map<string, Histogram>();
      families.push(() => renderLatencies(name, help, label, histograms));
      return {
        observe(labelValue, elapsedMs, error) {
          let histogram = histograms.get(labelValue);
          if (histogram === undefined) {
            histogram = { counts: BOUNDS_SEC.map(() => 0), sumMs: 0, total: 0, errors: new Map() };
            histograms.set(labelValue, histogram);
          }
          histogram.total += 1;
          histogram.sumMs += elapsedMs;
          const at = BOUNDS_SEC.findIndex((bound) => elapsedMs <= bound * 1000);
          if (at >= 0) histogram.counts[at] = (histogram.counts[at] ?? 0) + 1;
          if (error !== undefined) histogram.errors.set(error.code, (histogram.errors.get(error.code) ?? 0) + 1);
        },
      };
    },
    render: () => families.map((family) => family()).join(''),
  };
}

function renderLatencies(name: string, help: string, label: string, histograms: ReadonlyMap<string, Histogram>): string {
  let seconds = `# HELP ${name}_seconds ${help}\n# TYPE ${name}_seconds histogram\n`;
  let errors = `# HELP ${name}_errors_total Failures by error code.\n# TYPE ${name}_errors_total counter\n`;
  for (const [value, histogram] of histograms) {
    let below = 0;
    BOUNDS_SEC.forEach((bound, at) => {
      below += histogram.counts[at] ?? 0;
      seconds += `${name}_seconds_bucket${format({ [label]: value, le: String(bound) })} ${below}\n`;
    });
    seconds += `${name}_seconds_bucket${format({ [label]: value, le: '+Inf' })} ${histogram.total}\n`;
    seconds += `${name}_seconds_sum${format({ [label]: value })} ${histogram.sumMs / 1000}\n`;
    seconds += `${name}_seconds_count${format({ [label]: value })} ${histogram.total}\n`;
    for (const [code, count] of histogram.errors) errors += `${name}_errors_total${format({ [label]: value, code })} ${count}\n`;
  }
  return seconds + errors;
}

function format(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([key, value]) => `${key}="${value.replace(/[\\"\n]/g, '_')}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}
