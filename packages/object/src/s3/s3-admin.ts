/** Listing and bulk deletion through the SDK, which is loaded at the first use. One attempt a call: repeats are ours. */
import type { S3Client } from '@aws-sdk/client-s3';
import { NokvError } from '@nokv/types';
import { HttpFailure } from '../http/http-endpoint.js';
import { translateHttpFailure } from '../http/http-errors.js';
import { TryAgain } from '../retries.js';
import { loadAwsSdk, type AwsSdk } from './aws-sdk.js';
import type { CredentialSource } from './s3-credentials.js';
import { translateRefusal } from './s3-errors.js';
import { describeS3, type S3Location } from './s3-location.js';

export interface S3Listed {
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  readonly more: boolean;
}

export class S3Admin {
  readonly #location: S3Location;
  readonly #credentials: CredentialSource;
  #sdk: Promise<{ readonly sdk: AwsSdk; readonly client: S3Client }> | undefined;

  constructor(location: S3Location, credentials: CredentialSource) {
    this.#location = location;
    this.#credentials = credentials;
  }

  async list(prefix: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<S3Listed> {
    return this.#call('list objects', false, async () => {
      const { sdk, client } = await this.#load();
      const input = {
        Bucket: this.#location.bucket,
        Prefix: prefix,
        MaxKeys: limit,
        ...(after === undefined ? {} : { StartAfter: after }),
      };
      const page = await client.send(new sdk.ListObjectsV2Command(input), { abortSignal: signal });
      return {
        objects: (page.Contents ?? []).map(({ Key = '', Size = 0 }) => ({ key: Key, size: Size })),
        more: page.IsTruncated === true,
      };
    });
  }

  async delete(keys: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#call('delete objects', true, async () => {
      const { sdk, client } = await this.#load();
      const input = { Bucket: this.#location.bucket, Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: true } };
      const { Errors = [] } = await client.send(new sdk.DeleteObjectsCommand(input), { abortSignal: signal });
      const first = Errors.find(({ Code }) => Code !== 'NoSuchKey');
      if (first === undefined) return;
      const refused = Errors.filter(({ Code }) => Code !== 'NoSuchKey').length;
      const error = translateRefusal(
        { status: 200, code: first.Code, message: first.Message },
        describeS3(this.#location),
        `delete ${refused} of ${keys.length} objects`,
        true,
      );
      throw error instanceof TryAgain || first.Code === 'AccessDenied'
        ? error
        : new TryAgain(error instanceof NokvError ? error : new NokvError('internal', error.message));
    });
  }

  async close(): Promise<void> {
    (await this.#sdk?.catch(() => undefined))?.client.destroy();
  }

  #load(): Promise<{ readonly sdk: AwsSdk; readonly client: S3Client }> {
    this.#sdk ??= loadAwsSdk().then((sdk) => {
      const { endpoint, region, pathStyle } = this.#location;
      const client = new sdk.S3Client({
        endpoint,
        region,
        forcePathStyle: pathStyle,
        credentials: this.#credentials,
        maxAttempts: 1,
        requestHandler: { connectionTimeout: 5000, requestTimeout: 20_000 },
      });
      return { sdk, client };
    });
    return this.#sdk;
  }

  async #call<T>(doing: string, isWrite: boolean, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw this.#translate(error, doing, isWrite);
    }
  }

  #translate(error: unknown, doing: string, isWrite: boolean): unknown {
    if (error instanceof NokvError || error instanceof TryAgain || !(error instanceof Error)) return error;
    const status =
      '$metadata' in error && typeof error.$metadata === 'object' && error.$metadata !== null && 'httpStatusCode' in error.$metadata
        ? error.$metadata.httpStatusCode
        : undefined;
    if (typeof status === 'number')
      return translateRefusal({ status, code: error.name, message: error.message }, describeS3(this.#location), doing, isWrite);
    const kind = error.name === 'AbortError' ? 'aborted' : 'code' in error && error.code === 'ECONNREFUSED' ? 'unreachable' : 'broken';
    return translateHttpFailure(new HttpFailure(kind, error), describeS3(this.#location), isWrite);
  }
}
