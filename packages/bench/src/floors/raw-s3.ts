/**
 * The floor of bodies: whole objects in and out of a bucket over kept-alive connections, signed, and nothing else; no checksum, no
 * condition, no retry, no manifest.
 */
import { createHash, createHmac } from 'node:crypto';
import { Agent, request } from 'node:http';

export interface BucketAddress {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

const PAYLOAD = 'UNSIGNED-PAYLOAD';
const SIGNED_HEADERS = 'host;x-amz-content-sha256;x-amz-date';

export class RawS3 {
  readonly #at: BucketAddress;
  readonly #url: URL;
  readonly #agent: Agent;
  #day = '';
  #key: Buffer = Buffer.alloc(0);

  constructor(at: BucketAddress, connections: number) {
    this.#at = at;
    this.#url = new URL(at.endpoint);
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#send('PUT', key, { 'content-length': String(bytes.length) }, bytes);
  }

  /** Reads and drops; returns how many bytes came. */
  get(key: string, offset?: number, length?: number): Promise<number> {
    const range = offset === undefined || length === undefined ? {} : { range: `bytes=${offset}-${offset + length - 1}` };
    return this.#send('GET', key, range, undefined);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: 'GET' | 'PUT', key: string, extra: Record<string, string>, body: Uint8Array | undefined): Promise<number> {
    const path = `/${this.#at.bucket}/${key}`;
    const headers = { ...this.#signed(method, path), ...extra };
    const { hostname, port } = this.#url;
    return new Promise((resolve, reject) => {
      const call = request({ agent: this.#agent, hostname, port, method, path, headers }, (answer) => {
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
        answer.on('error', reject);
        answer.on('end', () => {
          const { statusCode = 0 } = answer;
          if (statusCode >= 200 && statusCode < 300) resolve(bytes);
          else reject(new Error(`${method} ${path}: HTTP ${statusCode}`));
        });
      });
      call.on('error', reject);
      call.end(body);
    });
  }

  /** AWS Signature Version 4 of a request without a query. */
  #signed(method: string, path: string): Record<string, string> {
    const { region, accessKey, secretKey } = this.#at;
    const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    if (day !== this.#day) {
      this.#day = day;
      this.#key = [day, region, 's3', 'aws4_request'].reduce<Buffer>((by, text) => hmac(by, text), Buffer.from(`AWS4${secretKey}`));
    }
    const { host } = this.#url;
    const canonical = `${method}\n${path}\n\nhost:${host}\nx-amz-content-sha256:${PAYLOAD}\nx-amz-date:${time}\n\n${SIGNED_HEADERS}\n${PAYLOAD}`;
    const scope = `${day}/${region}/s3/aws4_request`;
    const digest = createHash('sha256').update(canonical).digest('hex');
    const signature = hmac(this.#key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${digest}`).toString('hex');
    return {
      host,
      'x-amz-date': time,
      'x-amz-content-sha256': PAYLOAD,
      authorization: `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${SIGNED_HEADERS}, Signature=${signature}`,
    };
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
