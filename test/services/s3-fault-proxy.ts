/** A proxy before a real S3 server that does to its answers what it is told: the server has acted, or not, and the client hears something else. */
import { createServer, request as httpRequest, Agent, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { S3FaultScript, readBody, type FaultyS3, type S3Answer } from '@nokv/object/testing';
import { startS3, type S3Service } from './s3.js';

type Service = Pick<S3Service, 'endpoint' | 'bucket' | 'url' | 'env' | 'removeBucket' | 'stop'>;

/** A server (versitygw) behind the proxy. Signatures hold: the server checks them against the host that the client named. */
export async function startFaultyS3(start: () => Promise<Service> = startS3): Promise<FaultyS3> {
  const service = await start();
  const target = new URL(service.endpoint);
  const agent = new Agent({ keepAlive: true });
  const script = new S3FaultScript();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const serve = async (): Promise<void> => {
      const { pathname } = new URL(request.url ?? '/', target);
      const key = decodeURIComponent(pathname).slice(service.bucket.length + 2);
      requests.push(`${request.method} ${key}`);
      const body = await readBody(request);
      await script.answer(request, response, key, () => forward(request, body));
    };
    serve().catch(() => request.socket.destroy());
  });

  function forward(from: IncomingMessage, body: Buffer): Promise<S3Answer> {
    return new Promise((resolve, reject) => {
      const { method, url, headers } = from;
      const onward = httpRequest({ host: target.hostname, port: target.port, agent, method, path: url, headers }, (answer) => {
        readBody(answer).then((bytes) => {
          const { connection: _, 'transfer-encoding': __, ...kept } = answer.headers;
          resolve({ status: answer.statusCode ?? 502, headers: kept as Record<string, string>, body: bytes });
        }, reject);
      });
      onward.on('error', reject);
      onward.end(body);
    });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    get url() {
      return service.url.replace(service.endpoint, endpoint);
    },
    env: service.env,
    requests,
    inject: (...faults) => script.inject(...faults),
    healed: () => script.clear(),
    dropBucket: () => service.removeBucket(),
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      agent.destroy();
      await service.stop();
    },
  };
}
