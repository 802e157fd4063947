import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { VERBS } from '@nokv/agent';
import { NokvError } from '@nokv/types';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CliIo } from './cli-io.js';
import { COMMANDS } from './commands.js';
import { describeFailure } from './failure.js';
import { findCommand, parseArguments } from './parse-arguments.js';
import { renderReference } from './reference.js';
import { runCli } from './run-cli.js';
import { capturedIo } from './testing/captured-io.js';
import { checkSchema } from './testing/check-schema.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nokv-cli-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const run = async (words: readonly string[], options: Partial<CliIo> = {}) => {
  const io = capturedIo(options);
  const code = await runCli(words, io);
  return { code, out: io.out(), err: io.err() };
};

describe('the command table', () => {
  it.each(COMMANDS.map((row) => [row.name, row] as const))('%s has help with an example that parses', async (name, row) => {
    const shown = await run([...name.split(' '), '--help']);
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toContain(row.example);
    expect((await run(['help', ...name.split(' ')])).out).toBe(shown.out);
    const words =
      row.example
        .replace(/^(NOKV_\w+=\S+ )?nokv /, '')
        .match(/'[^']*'|"[^"]*"|\S+/g)
        ?.map((word) => word.replace(/^(['"])(.*)\1$/, '$2')) ?? [];
    const found = findCommand(words, COMMANDS);
    expect(found.command?.name).toBe(name);
    expect(() => parseArguments({ ...found, command: row })).not.toThrow();
  });

  it('names only schemas that are there, and every schema compiles', () => {
    const there = readdirSync(new URL('../schema', import.meta.url)).map((file) => file.replace(/\.json$/, ''));
    for (const { schema } of COMMANDS) if (schema !== undefined) expect(there).toContain(schema);
    for (const name of there) expect(() => checkSchema(name, 'text')).toThrow(/not a/);
  });

  it.each(['catalog', 'find', 'aggregate', 'grep', 'read'] as const)(
    'has the schema of the verb %s (node packages/cli/scripts/make-reference.mjs)',
    (name) => {
      const { title, ...schema } = JSON.parse(readFileSync(new URL(`../schema/${name}.json`, import.meta.url), 'utf8')) as Record<
        string,
        unknown
      >;
      expect(title).toBe(`What nokv ${name} --json prints`);
      expect(schema).toEqual(JSON.parse(JSON.stringify(VERBS[name].output.toJSONSchema())));
    },
  );

  it('is what docs/cli.md was made from (node packages/cli/scripts/make-reference.mjs)', () => {
    expect(readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8')).toBe(renderReference(COMMANDS));
  });
});

describe('a run', () => {
  it('shows the overview for nothing, help and --help', async () => {
    const shown = await run([]);
    expect(shown.code).toBe(0);
    for (const words of [['help'], ['--help'], ['-h']]) expect(await run(words)).toEqual(shown);
  });

  it('shows the version, as JSON too', async () => {
    expect((await run(['version'])).out).toMatch(/^nokv \d+\.\d+\.\d+\n$/);
    expect(await run(['--version'])).toEqual(await run(['version']));
    checkSchema('version', JSON.parse((await run(['version', '--json'])).out));
  });

  it('tells a usage error on one line of stderr and ends with 2', async () => {
    expect(await run(['stat'])).toEqual({ code: 2, out: '', err: 'nokv: stat: missing PATH; expected: nokv stat PATH…\n' });
    const told = await run(['stat', '--json']);
    expect(told).toMatchObject({ code: 2, out: '' });
    checkSchema('error', JSON.parse(told.err));
  });

  it('ends quietly when the reader of stdout is gone', async () => {
    const closed = new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })) });
    closed.on('error', () => undefined);
    expect(await run(['help'], { stdout: closed })).toMatchObject({ code: 0, err: '' });
  });

  it('takes a flag over the environment over the file over the default, and says so', async () => {
    const file = join(directory, 'nokv.json');
    writeFileSync(file, '{"server": "file:1", "timeout": "5s", "data": "/f"}');
    const env = { NOKV_SERVER: 'env:1', NOKV_CONFIG: file, NOKV_TIMEOUT: '' };
    const { out } = await run(['config', 'show', '--json', '--server', 'flag:1'], { env });
    const shown = JSON.parse(out) as {
      config: string;
      settings: { name: string; value: string | null; source: string; from: string | null }[];
    };
    checkSchema('config', shown);
    const setting = (name: string) => shown.settings.find((one) => one.name === name);
    expect(shown.config).toBe(file);
    expect(setting('server')).toEqual({ name: 'server', value: 'flag:1', source: 'flag', from: '--server' });
    expect(setting('timeout')).toEqual({ name: 'timeout', value: '5s', source: 'file', from: file });
    expect(setting('listen')).toEqual({ name: 'listen', value: '127.0.0.1:7777', source: 'default', from: null });
    const byEnv = JSON.parse((await run(['config', 'show', '--json'], { env })).out) as typeof shown;
    expect(byEnv.settings.find(({ name }) => name === 'server')).toMatchObject({
      value: 'env:1',
      source: 'environment',
      from: 'NOKV_SERVER',
    });
  });

  it('never shows a secret', async () => {
    const env = {
      NOKV_OBJECT: 's3://user:hunter2@bucket/p?secretKey=hunter3&region=x',
      AWS_ACCESS_KEY_ID: 'AKIAHUNTER4',
      AWS_SECRET_ACCESS_KEY: 'hunter5',
    };
    for (const words of [
      ['config', 'show'],
      ['config', 'show', '--json'],
    ]) {
      const { out } = await run(words, { env });
      expect(out).toContain('s3://****@bucket/p?secretKey=****&region=x');
      expect(out).not.toMatch(/hunter/i);
    }
  });

  it.each([
    ['{"server": 5,,}', 2, /nokv\.json:1:14: not valid JSON: unexpected ","/],
    ['{"servr": "h:1"}', 2, /nokv\.json:1:2: unknown setting "servr" \(did you mean server\?\)/],
    ['{"timeout": "soon"}', 2, /nokv\.json: timeout: expected a duration/],
  ])('refuses the configuration %s', async (text, code, message) => {
    const file = join(directory, 'nokv.json');
    writeFileSync(file, text);
    const told = await run(['config', 'show', '--config', file]);
    expect(told).toMatchObject({ code, out: '' });
    expect(told.err).toMatch(message);
    expect(told.err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('names a configuration file that is not there', async () => {
    expect((await run(['config', 'show', '--config', join(directory, 'none.json')])).err).toMatch(
      /none\.json: cannot read the configuration: no such file/,
    );
  });
});

describe('an error', () => {
  it('names what it is about, once', () => {
    const exists = new NokvError('exists', '/runs/7/model.bin: exists (generation 42); use --replace', {
      details: { path: '/runs/7/model.bin' },
    });
    expect(describeFailure(exists, 'put-artifact', false)).toMatchObject({
      exitCode: 4,
      text: 'nokv: put-artifact: /runs/7/model.bin: exists (generation 42); use --replace',
    });
    const corrupt = new NokvError('corrupt', 'a block has other bytes', { details: { path: '/a' } });
    expect(describeFailure(corrupt, 'cat', false)).toMatchObject({ exitCode: 10, text: 'nokv: cat: /a: a block has other bytes' });
  });

  it('prints the request id when the outcome is unknown', () => {
    const lost = new NokvError('connection-lost', 'the connection broke', { outcome: 'unknown', details: { requestId: 'r1' } });
    const { exitCode, text } = describeFailure(lost, 'mv', false);
    expect(exitCode).toBe(11);
    expect(text).toContain('run it again with --request-id r1');
  });

  it('is 130 after an interrupt', () => {
    expect(describeFailure(new NokvError('cancelled', 'stopped'), 'get', true).exitCode).toBe(130);
  });

  it('never lets a name control the terminal', () => {
    expect(describeFailure(new NokvError('not-found', '/a\u001b[2Jb: not found\nx'), 'ls', false).text).toBe(
      'nokv: ls: /a\\x1b[2Jb: not found x',
    );
  });
});
