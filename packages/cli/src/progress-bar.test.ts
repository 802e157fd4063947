import { describe, expect, it } from 'vitest';
import { Output } from './output.js';
import { drawLine, progressBar } from './progress-bar.js';
import { capturedIo } from './testing/captured-io.js';

const flags = { json: false, quiet: false, verbose: false };
const half = { phase: 'transfer', bytes: 100 * 2 ** 20, bytesTotal: 200 * 2 ** 20 };

describe('the progress bar', () => {
  it('shows share, amounts, rate and time left, and fits the terminal', () => {
    const line = drawLine('put', half, 50 * 2 ** 20, 80);
    expect(line).toBe('put [##############--------------]  50%  100 MiB/200 MiB  50.0 MiB/s  ETA 0:02');
    for (let width = 1; width < 120; width++) expect(drawLine('put', half, 50 * 2 ** 20, width).length).toBeLessThan(width);
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
    ['with --json', { stderrIsTerminal: true }, { ...flags, json: true }, 'auto', false],
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
});
