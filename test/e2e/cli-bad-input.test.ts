/** Bad input at the command: one clear line, the documented exit code, and nothing changed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSchema } from '@nokv/cli/testing';
import { startS3Double } from '@nokv/object/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts } from '../services/etcd.js';
import { startS3, type S3Service } from '../services/s3.js';
import { type CliServer, type Ran, nokv, startCliServer } from './cli-runner.js';

let server: CliServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nokv-bad-input-'));
  server = await startCliServer();
  await server.must(['mkdir', '-p', '/d/full']);
  await server.must(['put', '-', '/d/file'], { input: 'body' });
  await server.must(['put', '-', '/d/full/inner'], { input: 'inner' });
  await server.must(['ln', '-s', 'loop', '/d/loop']);
  writeFileSync(join(directory, 'local'), 'local');
  mkdirSync(join(directory, 'tree'));
  writeFileSync(join(directory, 'bad.json'), '{\n  "server": "127.0.0.1:1",,\n}\n');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** Everything that could have changed. */
async function everything(): Promise<string> {
  return (await server.must(['ls', '-R', '--json', '/'])).replaceAll(/"atime":"[^"]*",/g, '');
}

function expectRefusal({ code, stdout, stderr }: Ran, exitCode: number, message: RegExp): void {
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }, stderr).toEqual({ code: exitCode, stdout: '', lines: 1 });
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^nokv: /);
}

const LONG_NAME = `/d/${'n'.repeat(256)}`;
const LONG_PATH = '/abc'.repeat(1250);

describe('a command', () => {
  it.each<readonly [string, readonly string[], number, RegExp]>([
    ['an unknown command', ['stta', '/d'], 2, /unknown command "stta" \(did you mean stat or stats\?\)/],
    [
      'an unknown flag',
      ['put', '--if-genration', '0', 'local', '/d/x'],
      2,
      /unknown flag --if-genration \(did you mean --if-generation\?\)/,
    ],
    ['a missing argument', ['put', 'local'], 2, /missing DST; expected: nokv put SRC… DST/],
    ['an extra argument', ['ln', '-s', 'a', '/d/x', '/d/y'], 2, /unexpected argument "\/d\/y"/],
    ['a flag without its value', ['put', 'local', '/d/x', '--if-generation'], 2, /--if-generation needs a value/],
    ['a duration without a unit', ['--timeout', '5', 'stat', '/'], 2, /--timeout: expected a duration such as 250ms.*found "5"/],
    ['a size that is none', ['head', '-c', 'big', '/d/file'], 2, /expected a size.*found "big"/],
    ['a local file that is not there', ['put', 'none', '/d/x'], 3, /none: no such local file/],
    ['an artifact that is not there', ['put-artifact', '/d/x', 'none'], 3, /none: no such local file/],
    ['a directory without -r', ['put', 'tree', '/d/x'], 2, /tree: is a directory; use -r/],
    ['a remote path that is not there', ['cat', '/d/none'], 3, /\/d\/none/],
    ['a directory where a file is needed', ['cat', '/d/full'], 2, /directory/],
    ['a file where a directory is needed', ['mkdir', '/d/file/x'], 2, /director/],
    ['a path below a file', ['stat', '/d/file/x/y'], 2, /director/],
    ['a directory that is there', ['mkdir', '/d/full'], 4, /\/d\/full/],
    ['an artifact that is there', ['put-artifact', '/d/file', 'local'], 4, /\/d\/file: exists.*use --replace/],
    ['a directory that is not empty', ['rmdir', '/d/full'], 5, /\/d\/full/],
    ['a directory without rm -r', ['rm', '/d/full'], 2, /\/d\/full: is a directory; use -r/],
    ['removing the root', ['rm', '-r', '/'], 6, /refusing to remove the root/],
    ['moving a directory into itself', ['mv', '/d', '/d/full/d'], 2, /\/d/],
    ['copying a directory into itself', ['cp', '-r', '/d', '/d/full/d'], 2, /itself/],
    ['a stale generation', ['put', '--if-generation', '999999', 'local', '/d/file'], 5, /generation/],
    ['a generation that never was', ['cat', '/d/file@999999'], 3, /999999/],
    ['a relative path', ['stat', 'd/file'], 2, /expected an absolute path, found "d\/file"/],
    ['a path beyond the root', ['stat', '/d/../../x'], 2, /beyond the root/],
    ['a name of 256 bytes', ['put', 'local', LONG_NAME], 2, /at most 255 bytes, found 256/],
    ['a path of 5,000 bytes', ['put', 'local', LONG_PATH], 2, /at most 4096 bytes, found 5000/],
    ['a name with NUL', ['stat', '/d/\\x00'], 2, /NUL/],
    ['a loop of symlinks', ['cat', '/d/loop'], 2, /loop/],
    ['an attribute name of 256 bytes', ['xattr', 'set', '/d/file', `user.${'x'.repeat(251)}`, 'v'], 2, /255/],
    ['an attribute that is not there', ['xattr', 'get', '/d/file', 'user.none'], 3, /user\.none/],
    ['a digest that is none', ['put-artifact', '/d/x', 'local', '--digest', 'md5:1'], 2, /expected a digest/],
    ['a mode that is none', ['chmod', '999', '/d/file'], 2, /expected a mode/],
    ['an unknown field', ['find', '/', '--where', 'siez > 1'], 2, /siez.*size/],
    ['a broken predicate', ['find', '/', '--where', 'size >'], 2, /expected/],
    ['a broken pattern', ['grep', '(', '/d'], 2, /pattern/],
    ['a question that is no JSON', ['find', '/', '--query', '{'], 2, /--query: expected a JSON object/],
    ['a broken configuration', ['--config', 'bad.json', 'stat', '/'], 2, /bad\.json:2:27: not valid JSON: unexpected ","/],
    ['a configuration that is not there', ['--config', 'none.json', 'stat', '/'], 2, /none\.json: cannot read the configuration/],
    ['an address that is none', ['--server', 'localhost', 'stat', '/'], 2, /expected a server as HOST:PORT.*found "localhost"/],
    ['a mount on a file', ['mount', 'local'], 2, /expected a local directory/],
    ['an artifact in place of the root', ['put-artifact', '--replace', '/', 'tree'], 6, /the root is no artifact/],
    ['a directory whose parent is missing', ['mkdir', '/no/x'], 3, /use -p/],
    ['a file whose parent is missing', ['put', 'local', '/no/x'], 3, /use --parents/],
    ['local files in the way of a directory', ['get', '/d', '.'], 4, /use --replace/],
    ['a mount below nothing', ['mount', 'none/mnt'], 3, /none\/mnt: no such local/],
    ['a mount of what is not there', ['mount', 'mnt', '--root', '/d/none'], 3, /\/d\/none/],
    ['unmounting what is not mounted', ['umount', 'tree'], 3, /tree/],
  ])('refuses %s', async (_name, words, exitCode, message) => {
    const before = await everything();
    expectRefusal(await server.run(words, { cwd: directory }), exitCode, message);
    const asJson = await server.run([...words.slice(0, words.includes('--') ? words.indexOf('--') : undefined), '--json'], {
      cwd: directory,
    });
    // A flag that lacks its value takes no flag for it; the rest tells the same as an object.
    expect(asJson).toMatchObject({ code: exitCode, stdout: '' });
    const told: unknown = JSON.parse(asJson.stderr);
    checkSchema('error', told);
    expect(told).toMatchObject({ exitCode });
    expect(await everything()).toBe(before);
    expect(readdirSync(directory).toSorted()).toEqual(['bad.json', 'local', 'tree']);
  });

  it('refuses an attribute of more than 64 KiB', async () => {
    const before = await everything();
    const set = (bytes: number) => server.run(['xattr', 'set', '/d/file', 'user.big', '-'], { input: Buffer.alloc(bytes, 1) });
    expectRefusal(await set(65_537), 2, /65536/);
    expect(await everything()).toBe(before);
    expect((await set(65_536)).code).toBe(0);
    await server.must(['xattr', 'rm', '/d/file', 'user.big']);
  });

  it('says that nobody listens, and where', async () => {
    const [port] = await freePorts(1);
    expectRefusal(await nokv(['stat', '/'], { env: { NOKV_SERVER: `127.0.0.1:${port}` } }), 9, new RegExp(`127\\.0\\.0\\.1:${port}`));
  });

  it('says that what listens there is no server of ours', async () => {
    await using listener = await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const { code, stderr } = await nokv(['stat', '/', '--timeout', '5s'], { env: { NOKV_SERVER: listener.address } });
    expect([2, 9]).toContain(code);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('gives up at its deadline when the server is silent', async () => {
    await using listener = await listen(() => undefined);
    expectRefusal(await nokv(['stat', '/', '--timeout', '500ms'], { env: { NOKV_SERVER: listener.address } }), 9, /./);
  });

  it('ends with 130 on SIGINT and says nothing', async () => {
    await using listener = await listen(() => undefined);
    const { status, stderr } = spawnSync(
      'timeout',
      ['-s', 'INT', '1', process.execPath, (await import('./cli-runner.js')).NOKV, 'stat', '/'],
      {
        env: { ...process.env, NOKV_SERVER: listener.address },
        encoding: 'utf8',
      },
    );
    // timeout(1) reports 124 for a command that it had to signal, unless told to keep its status.
    expect([124, 130]).toContain(status);
    expect(stderr).toBe('');
  });
});

describe('a server', () => {
  const refuse = async (flags: readonly string[], exitCode: number, message: RegExp, env: Readonly<Record<string, string>> = {}) => {
    const words = ['serve', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', ...flags];
    if (!flags.includes('--data')) words.push('--data', join(directory, 'fresh'));
    const ran = await nokv(words, { env, cwd: directory, timeoutMs: 50_000 });
    expectRefusal(ran, exitCode, message);
    await rm(join(directory, 'fresh'), { recursive: true, force: true });
  };

  it('refuses a data directory that is in use, and names who holds it', async () => {
    await refuse(['--data', server.data], 5, new RegExp(`${server.pid}`));
    expect(await server.must(['cat', '/d/file'])).toBe('body');
  });

  it('refuses a data directory of another format', async () => {
    const data = join(directory, 'other-format');
    await using first = await startCliServer({ data });
    await first.end('SIGTERM');
    const file = readdirSync(data).find((name) => /format/i.test(name));
    expect(file, `what says the format of ${data}: ${readdirSync(data).join(' ')}`).toBeDefined();
    const path = join(data, file ?? '');
    const written = readFileSync(path, 'utf8');
    writeFileSync(path, written.replace(/"number": ?\d+/, '"number":999'));
    expect(readFileSync(path, 'utf8')).not.toBe(written);
    await refuse(['--data', data], 2, /999/);
    await rm(data, { recursive: true, force: true });
  });

  it('refuses a directory that is no data directory', async () => {
    await refuse(['--data', join(directory, 'local')], 2, /local/);
  });

  it.each([
    ['RPC', (address: string) => ['--listen', address]],
    ['HTTP', (address: string) => ['--http', address]],
  ])('refuses a port that is taken (%s)', async (_name, flags) => {
    await using listener = await listen(() => undefined);
    await refuse(flags(listener.address), 2, new RegExp(listener.address.replaceAll('.', '\\.')));
  });

  it('refuses to be reached from outside without authentication', async () => {
    await refuse(['--listen', '0.0.0.0:0'], 2, /0\.0\.0\.0/);
    await refuse(['--http', '0.0.0.0:0'], 2, /0\.0\.0\.0/);
  });

  it.each<readonly [string, readonly string[], number, RegExp]>([
    ['a store of unknown kind', ['--object', 'ftp://host/x'], 2, /ftp/],
    ['a store without a bucket', ['--object', 's3://'], 2, /bucket/],
    ['a coordinator of unknown kind', ['--control', 'zookeeper://host/x'], 2, /zookeeper/],
    ['an address that is none', ['--listen', 'here'], 2, /here/],
    ['a lease that is too short', ['--lease-ttl', 'soon'], 2, /expected a duration/],
    ['a mode that is none', ['--durability', 'maybe'], 2, /expected local, shared, async, found "maybe"/],
  ])('refuses %s', async (_name, flags, exitCode, message) => {
    await refuse(flags, exitCode, message);
  });

  it('names an etcd that does not answer', async () => {
    const [port] = await freePorts(1);
    await refuse(['--control', `etcd://127.0.0.1:${port}/x`], 9, new RegExp(`127\\.0\\.0\\.1:${port}`));
  }, 60_000);

  it('names an S3 server that does not answer', async () => {
    const [port] = await freePorts(1);
    const url = `s3://bucket/x?endpoint=http://127.0.0.1:${port}&region=us-east-1&pathStyle=true`;
    await refuse(['--object', url], 9, new RegExp(`127\\.0\\.0\\.1:${port}`), { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' });
  }, 60_000);
});

describe('a server on S3', () => {
  let s3: S3Service;
  beforeAll(async () => {
    s3 = await startS3();
  }, 600_000);
  afterAll(async () => await s3?.stop());

  const refuse = async (url: string, env: Readonly<Record<string, string>>, exitCode: number, message: RegExp) => {
    const data = join(directory, 's3-data');
    const ran = await nokv(['serve', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--data', data, '--object', url], {
      env,
      timeoutMs: 50_000,
    });
    expectRefusal(ran, exitCode, message);
    expect(ran.stderr).not.toContain(s3.secretKey);
    await rm(data, { recursive: true, force: true });
  };

  it('refuses wrong keys', async () => {
    await refuse(s3.urlOf('k'), { ...s3.env, AWS_SECRET_ACCESS_KEY: 'wrong' }, 6, /key|credential|denied/i);
  }, 60_000);

  it('refuses an unknown key', async () => {
    await refuse(s3.urlOf('k'), { ...s3.env, AWS_ACCESS_KEY_ID: 'nobody' }, 6, /key|credential|denied/i);
  }, 60_000);

  it('refuses a bucket that is not there', async () => {
    await refuse(s3.urlOf('k').replace(s3.bucket, 'no-such-bucket'), s3.env, 3, /no-such-bucket/);
  }, 60_000);
});

describe('a server on a store that is not fit', () => {
  it('is refused at its start, with what the store did wrong', async () => {
    const double = await startS3Double({ conditions: 'ignored' });
    try {
      const data = join(directory, 'unfit');
      const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
      const words = ['serve', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--data', data, '--object', double.url];
      expectRefusal(await nokv(words, { env }), 9, /does not give what nokv needs: create-if-absent \(/);
      expect([...double.objects.keys()]).toEqual([]);
      await rm(data, { recursive: true, force: true });
      const { code, stdout } = await server.run(['doctor', '--object', double.url], { env });
      expect(code).toBe(9);
      expect(stdout).toMatch(/FAIL {2}store .*create-if-absent.*\n +fix: use a store that honours If-None-Match/);
    } finally {
      await double.stop();
    }
  });
});

const mayMount = process.getuid?.() === 0;

describe('a full disk', () => {
  it.runIf(mayMount)(
    'is told as such, loses nothing that was acknowledged, and heals',
    async () => {
      const disk = join(directory, 'small-disk');
      mkdirSync(disk);
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk]).status).toBe(0);
      try {
        await using full = await startCliServer({ data: join(disk, 'data') });
        await full.must(['put', '-', '/kept'], { input: 'kept' });
        const big = await full.run(['put', '-', '/big'], { input: Buffer.alloc(80 * 1024 * 1024, 7) });
        expectRefusal(big, 7, /space/i);
        expect(await full.must(['cat', '/kept'])).toBe('kept');
        expect((await full.run(['stat', '/big'])).code).toBe(3);
      } finally {
        spawnSync('umount', ['-l', disk]);
      }
    },
    60_000,
  );
});

interface Listener extends AsyncDisposable {
  readonly address: string;
}

async function listen(onConnection: (socket: import('node:net').Socket) => void): Promise<Listener> {
  const sockets = new Set<import('node:net').Socket>();
  const listener: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  return {
    address: `127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
