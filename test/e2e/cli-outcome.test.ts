/** What the command says when it cannot know: exit 11 and the id to ask again with, and one effect whatever happens. */
import { connect, createServer, type Socket } from 'node:net';
import { checkSchema } from '@nokv/cli/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliServer, nokv, startCliServer } from './cli-runner.js';

let server: CliServer;
beforeAll(async () => {
  server = await startCliServer();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());

/** Passes on what the client says, the server's hello and `spared` answers; every later one is lost with its connection. */
async function startLossyProxy(target: string, spared: number): Promise<{ readonly address: string; close(): Promise<void> }> {
  const [host = '', port = ''] = target.split(':');
  const open = new Set<Socket>();
  let left = spared;
  const listener = createServer((near) => {
    const far = connect(Number(port), host);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => [near, far].forEach((one) => one.destroy()));
    }
    let hasSaidHello = false;
    near.on('data', (chunk) => far.write(chunk));
    far.on('data', (chunk) => {
      if (hasSaidHello) left -= 1;
      if (!hasSaidHello || left >= 0) near.write(chunk);
      else near.destroy();
      hasSaidHello = true;
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  return {
    address: `127.0.0.1:${address.port}`,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

describe('a command whose answer is lost', () => {
  it.each([
    ['mkdir', 0, ['mkdir', '/made']],
    // The first answers say what the directory wants and how bodies are reached; nothing is unknown before the publish is sent.
    ['put', 2, ['put', '--if-generation', '0', '-', '/put']],
  ])('ends with 11, and under the id that it printed it has taken effect once (%s)', async (_name, spared, words) => {
    const proxy = await startLossyProxy(server.rpc, spared);
    try {
      const lost = await nokv([...words, '--timeout', '1500ms'], { env: { NOKV_SERVER: proxy.address }, input: 'body' });
      expect(lost).toMatchObject({ code: 11, stdout: '' });
      const [, id = ''] = /run it again with --request-id ([A-Za-z0-9_.:-]+)/.exec(lost.stderr) ?? [];
      expect(id, lost.stderr).not.toBe('');
      const again = await server.json([...words, '--request-id', id], { input: 'body' });
      const third = await server.json([...words, '--request-id', id], { input: 'body' });
      expect(third).toEqual(again);
      expect((await server.json(['stat', words.at(-1) ?? '']))[0]).toMatchObject({ nlink: words[0] === 'put' ? 1 : 2 });
    } finally {
      await proxy.close();
    }
  });

  it('tells the same as an object', async () => {
    const proxy = await startLossyProxy(server.rpc, 0);
    try {
      const { code, stderr } = await nokv(['mkdir', '/other', '--json', '--timeout', '1s'], { env: { NOKV_SERVER: proxy.address } });
      expect(code).toBe(11);
      const told: unknown = JSON.parse(stderr);
      checkSchema('error', told);
      expect(told).toMatchObject({ outcome: 'unknown', exitCode: 11, details: { requestId: expect.any(String) as unknown } });
    } finally {
      await proxy.close();
    }
  });
});

describe('a command that fails half-way', () => {
  it('has told what it had done', async () => {
    await server.must(['put', '-', '/here'], { input: 'x' });
    const { code, stdout } = await server.run(['stat', '--json', '/here', '/gone']);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ path: '/here' });
  });
});
