/** The same requests through the SDK: slower, and an opinion of its own on how they are signed and sent. */
import { NokvError } from '@nokv/types';
import { HttpFailure } from '../http/http-call.js';
import { failureOf, refusalOf, type LoadedSdk, type SdkClient } from './sdk-client.js';
import type { S3Answer, S3Request, S3Wire } from './s3-wire.js';

export function sdkWire(client: SdkClient): S3Wire {
  const bucket = client.signing.location.bucket;

  async function exchange(request: S3Request): Promise<S3Answer> {
    const loaded = await client.load();
    try {
      if (request.key === undefined) return await list(loaded, request);
      const headers = request.headers ?? {};
      switch (request.method) {
        case 'PUT':
          return await put(loaded, request.key, headers, request);
        case 'HEAD':
          return await head(loaded, request.key, request);
        case 'GET':
          return await get(loaded, request.key, headers, request);
      }
    } catch (error) {
      if (error instanceof NokvError || error instanceof HttpFailure) throw error;
      const refusal = refusalOf(error, client.signing.nowMs());
      if (refusal === undefined) throw failureOf(error);
      const { status, headers, code, message, region } = refusal;
      return { status, headers, body: Buffer.alloc(0), said: { code, message, region } };
    }
  }

  async function put(
    { sdk, client: s3 }: LoadedSdk,
    key: string,
    headers: Headers,
    { body = new Uint8Array(0), signal }: S3Request,
  ): Promise<S3Answer> {
    const input = {
      Bucket: bucket,
      Key: key,
      Body: body,
      IfNoneMatch: headers['if-none-match'],
      ChecksumCRC32C: headers['x-amz-checksum-crc32c'],
      ContentType: headers['content-type'],
      ContentLength: body.length,
      StorageClass: headers['x-amz-storage-class'] as never,
      ServerSideEncryption: headers['x-amz-server-side-encryption'] as never,
      SSEKMSKeyId: headers['x-amz-server-side-encryption-aws-kms-key-id'],
    };
    const { $metadata } = await s3.send(new sdk.PutObjectCommand(input), { abortSignal: signal });
    return answer($metadata.httpStatusCode);
  }

  async function head({ sdk, client: s3 }: LoadedSdk, key: string, { signal }: S3Request): Promise<S3Answer> {
    const found = await s3.send(new sdk.HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' }), { abortSignal: signal });
    return answer(found.$metadata.httpStatusCode, {
      'content-length': found.ContentLength === undefined ? undefined : String(found.ContentLength),
      'x-amz-checksum-crc32c': found.ChecksumCRC32C,
      'x-amz-server-side-encryption': found.ServerSideEncryption,
      'x-amz-storage-class': found.StorageClass,
    });
  }

  async function get({ sdk, client: s3 }: LoadedSdk, key: string, headers: Headers, request: S3Request): Promise<S3Answer> {
    const found = await s3.send(new sdk.GetObjectCommand({ Bucket: bucket, Key: key, Range: headers['range'] }), {
      abortSignal: request.signal,
    });
    const expected = found.ContentLength;
    if (expected !== undefined && request.answerBytesMax !== undefined && expected > request.answerBytesMax)
      throw new HttpFailure('oversize', new Error(`expected an answer of at most ${request.answerBytesMax} bytes`));
    const bytes = (await found.Body?.transformToByteArray()) ?? new Uint8Array(0);
    if (expected !== undefined && bytes.length !== expected)
      throw new HttpFailure('broken', new Error(`the answer ended after ${bytes.length} of ${expected} bytes`));
    return answer(found.$metadata.httpStatusCode, {}, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  }

  async function list({ sdk, client: s3 }: LoadedSdk, { query = {}, signal }: S3Request): Promise<S3Answer> {
    const input = { Bucket: bucket, Prefix: query['prefix'], MaxKeys: Number(query['max-keys'] ?? 1000) };
    const page = await s3.send(new sdk.ListObjectsV2Command(input), { abortSignal: signal });
    // Who asks for the bucket looks only whether the answer is a listing, which the SDK has parsed already.
    return answer(page.$metadata.httpStatusCode, {}, Buffer.from(page.Name === undefined ? '' : '<ListBucketResult/>'));
  }

  return { exchange, close: () => client.close() };
}

type Headers = Readonly<Record<string, string>>;

function answer(status = 200, headers: S3Answer['headers'] = {}, body: Buffer = Buffer.alloc(0)): S3Answer {
  return { status, headers, body, said: {} };
}
