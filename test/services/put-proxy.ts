/** An HTTP proxy in front of an object store: counts what passes, holds each request up, loses answers on demand. */
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PutProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** PUTs that the store has answered, and their bytes. */
  readonly puts: number;
  readonly putBytes: number;
  /** The most PUTs that were under way at once. */
  readonly putsAtOnce: number;
  reset(): void;
  /** Every request waits for so long before it is passed on. */
  delay(ms: number): void;
  /** The store acts, but these many of the next answers to PUTs never arrive. */
  loseAnswers(count: number): void;
}

/** @param target `http://127.0.0.1:port`; it sees the Host header as the client sent it, which is signed. */
export async function putProxy(target: string): Promise<PutProxy> {
  const { hostname, port } = new URL(target);
  const agent = new Agent({ keepAlive: true });
  const counts = { puts: 0, putBytes: 0, putsAtOnce: 0 };
  let underWay = 0;
  let delayMs = 0;
  let toLose = 0;

  async function pass(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const isPut = from.method === 'PUT';
    if (isPut) counts.putsAtOnce = Math.max(counts.putsAtOnce, ++underWay);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of from) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const onward = request(
          { hostname, port, agent, method: from.method, path: from.url, headers: from.headers, setHost: false },
          resolve,
        );
        onward.on('error', reject);
        onward.end(body);
      });
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      if (isPut) {
        counts.puts += 1;
        counts.putBytes += body.length;
        if (toLose > 0) {
          toLose -= 1;
          to.destroy();
          return;
        }
      }
      to.writeHead(answer.statusCode ?? 500, answer.headers);
      to.end(Buffer.concat(parts));
    } finally {
      if (isPut) underWay -= 1;
    }
  }

  const server = createServer((from, to) => void pass(from, to).catch(() => to.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get puts() {
      return counts.puts;
    },
    get putBytes() {
      return counts.putBytes;
    },
    get putsAtOnce() {
      return counts.putsAtOnce;
    },
    reset: () => void Object.assign(counts, { puts: 0, putBytes: 0, putsAtOnce: underWay }),
    delay: (ms) => void (delayMs = ms),
    loseAnswers: (count) => void (toLose = count),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      agent.destroy();
    },
  };
}
