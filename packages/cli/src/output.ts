/**
 * Results on stdout, everything else on stderr. Writes wait for the reader, so that a slow pipe bounds memory; a
 * reader that went away ends the command quietly.
 */
import { createColors } from 'picocolors';
import type { CliIo } from './cli-io.js';

/** Thrown when whoever read stdout has closed it. */
export class ClosedOutput extends Error {
  override readonly name = 'ClosedOutput';
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

type Colors = ReturnType<typeof createColors>;

/** Text gathered before it is written: one write for many short lines. */
const BUFFERED_CHARACTERS_MAX = 64 * 1024;
/** One write of several MiB to a file costs the kernel twice as much as many of this size. */
const WRITE_BYTES_MAX = 128 * 1024;

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Colours for stdout; plain when it is not a terminal or `NO_COLOR` is set. */
  readonly colors: Colors;
  private buffered = '';

  constructor(
    private readonly io: CliIo,
    options: OutputOptions,
  ) {
    this.json = options.json;
    this.quiet = options.quiet;
    this.verbose = options.verbose;
    this.colors = createColors(io.stdoutIsTerminal && !options.json && (io.env.NO_COLOR ?? '') === '');
  }

  /** One line of result. */
  async line(text: string): Promise<void> {
    this.buffered += `${text}\n`;
    if (this.buffered.length >= BUFFERED_CHARACTERS_MAX) await this.flush();
  }

  /** One JSON object on a line of its own. */
  async object(result: unknown): Promise<void> {
    await this.line(JSON.stringify(result));
  }

  /**
   * What has been done: the object with `--json`, the text otherwise, which may be nothing. Written at once, so that a
   * reader knows of it even if what follows fails.
   */
  async result(result: unknown, text: string | undefined): Promise<void> {
    if (this.json) await this.object(result);
    else if (text !== undefined && !this.quiet) await this.line(text);
    await this.flush();
  }

  /** Bytes of a body, as they are. */
  async bytes(chunk: Uint8Array): Promise<void> {
    await this.flush();
    for (let from = 0; from < chunk.length; from += WRITE_BYTES_MAX)
      await write(this.io.stdout, chunk.subarray(from, from + WRITE_BYTES_MAX));
  }

  async flush(): Promise<void> {
    const text = this.buffered;
    this.buffered = '';
    if (text !== '') await write(this.io.stdout, text);
  }

  /** A remark for the person at the terminal. */
  note(text: string): void {
    if (!this.quiet) this.io.stderr.write(`${text}\n`);
  }

  /** A remark that only `-v` asks for. */
  detail(text: string): void {
    if (this.verbose) this.io.stderr.write(`${text}\n`);
  }
}

function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (error === undefined || error === null) resolve();
      else reject('code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') ? new ClosedOutput() : error);
    });
  });
}

/** Columns as wide as their widest cell; the last one is not padded. `right` names columns that hold numbers. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        if (right.includes(i)) return cell.padStart(widths[i] ?? 0);
        return i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0);
      })
      .join('  '),
  );
}
