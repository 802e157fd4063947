import { describe, expect, it } from 'vitest';
import { Output } from './output.js';
import { SumOfProgress, drawLine, progressBar } from './progress-bar.js';
import { capturedIo } from './testing/captured-io.js';
import { checkSchema } from './testing/check-schema.js';

const flags = { json: false, quiet: false, verbose: false };
const half = { phase: 'transfer', bytes: 100 * 2 ** 20, bytesTotal: 200 * 2 ** 20 };

describe('the progress bar', () => {
  it('shows share, amounts, rate and time left, and fits the terminal', () => {
    const line = drawLine('put', half, 50 * 2 ** 20, 80);
    expect(line).toBe('put [##############--------------]  50%  100 MiB/200 MiB  50.0 MiB/s  ETA 0:02');
    for (let width = 1; width < 120; width++) expect(drawLine('put', half, 50 * 2 ** 20, width).length).toBeLessThan(width);
  });

  it('keeps what people wait for where the terminal is narrow', () => {
    const many = { ...half, files: 1234, filesTotal: 5678 };
    expect(drawLine('import', many, 50 * 2 ** 20, 70)).toBe('import  50%  100 MiB/200 MiB  1234/5678 files  50.0 MiB/s  ETA 0:02');
    expect(drawLine('import', many, 50 * 2 ** 20, 55)).toBe('import  50%  100 MiB/200 MiB  50.0 MiB/s  ETA 0:02');
    expect(drawLine('import', many, 50 * 2 ** 20, 40)).toBe('import  50%  50.0 MiB/s  ETA 0:02');
    expect(drawLine('import', many, 50 * 2 ** 20, 25)).toBe('import  50%  ETA 0:02');
    expect(drawLine('import', many, 50 * 2 ** 20, 10)).toBe('import  5');
  });

  it('shows what is known when the total is not', () => {
    expect(drawLine('put', { phase: 'transfer', bytes: 1536 }, 0, 80)).toBe('put  1.50 KiB');
    expect(drawLine('put-artifact', { phase: 'scan', files: 12, bytes: 0 }, 0, 80)).toBe('put-artifact  looking … 12 entries, 0 B');
    expect(drawLine('get', { phase: 'transfer', bytes: 0, bytesTotal: 0, files: 3, filesTotal: 9 }, 0, 80)).toContain('3/9 files');
  });

  it('draws on a terminal and takes the line away at the end', () => {
    const io = capturedIo({ stderrIsTerminal: true });
    const bar = progressBar(io, new Output(io, flags), 'get');
    bar.update(half);
    expect(io.err()).toContain('50%');
    bar[Symbol.dispose]();
    expect(io.err().endsWith('\r\u001b[K')).toBe(true);
    expect(io.out()).toBe('');
  });

  it.each([
    ['in a pipe', {}, flags, 'auto', false],
    ['with --quiet', { stderrIsTerminal: true }, { ...flags, quiet: true }, 'auto', false],
    ['with --json, while it is short', { stderrIsTerminal: true }, { ...flags, json: true }, 'auto', false],
    ['when told not to', { stderrIsTerminal: true }, flags, 'never', false],
    ['when the body itself goes to the terminal', { stderrIsTerminal: true }, flags, 'auto', true],
  ] as const)('is silent %s', (_name, ends, options, mode, isResultOnTerminal) => {
    const io = capturedIo(ends);
    using bar = progressBar(io, new Output(io, options), 'get', mode, isResultOnTerminal);
    bar.update(half);
    expect(io.err()).toBe('');
  });

  it('gives one event a line when asked for', () => {
    const io = capturedIo();
    using bar = progressBar(io, new Output(io, { ...flags, json: true }), 'get', 'json');
    bar.update(half);
    expect(JSON.parse(io.err())).toEqual({ event: 'progress', what: 'get', ...half });
  });

  it('gives an event a second with --json, and the last one', () => {
    let ms = 0;
    const captured = capturedIo();
    const io = { ...captured, clock: { ...captured.clock, monotonicMs: () => ms } };
    using bar = progressBar(io, new Output(io, { ...flags, json: true }), 'get');
    for (; ms < 2500; ms += 100) bar.update(half);
    bar.update({ ...half, phase: 'done' });
    const events = captured
      .err()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { phase: string });
    for (const event of events) checkSchema('progress', event);
    expect(events.map(({ phase }) => phase)).toEqual(['transfer', 'transfer', 'done']);
  });

  it('adds up transfers that run side by side', () => {
    const io = capturedIo();
    using bar = progressBar(io, new Output(io, flags), 'get', 'json');
    const sum = new SumOfProgress(bar, 2);
    sum.of('a')({ phase: 'done', bytes: 5, bytesTotal: 5 });
    sum.of('b')({ phase: 'transfer', bytes: 1, bytesTotal: 4 });
    sum.of('b')({ phase: 'done', bytes: 4, bytesTotal: 4 });
    const events = io
      .err()
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(events).toMatchObject([
      { phase: 'transfer', bytes: 5, files: 1, filesTotal: 2 },
      { phase: 'transfer', bytes: 6, bytesTotal: 9 },
      { phase: 'done', bytes: 9, bytesTotal: 9, files: 2 },
    ]);
  });
});
