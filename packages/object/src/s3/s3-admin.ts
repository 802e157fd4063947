/** Listing and bulk deletion through the SDK, which is loaded at the first use. One attempt a call: repeats are ours. */
import { NokvError } from '@nokv/types';
import { translateHttpFailure } from '../http/http-errors.js';
import { TryAgain } from '../retries.js';
import { translateRefusal } from './s3-errors.js';
import { describeS3 } from './s3-location.js';
import type { S3Lesson } from './s3-signing.js';
import { failureOf, refusalOf, type LoadedSdk, type SdkClient } from './sdk-client.js';

export interface S3Listed {
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  readonly more: boolean;
}

export class S3Admin {
  readonly #client: SdkClient;

  constructor(client: SdkClient) {
    this.#client = client;
  }

  async list(prefix: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<S3Listed> {
    return this.#call('list objects', false, async ({ sdk, client }) => {
      const input = {
        Bucket: this.#bucket,
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
    await this.#call('delete objects', true, async ({ sdk, client }) => {
      const input = { Bucket: this.#bucket, Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: true } };
      const { Errors = [] } = await client.send(new sdk.DeleteObjectsCommand(input), { abortSignal: signal });
      const first = Errors.find(({ Code }) => Code !== 'NoSuchKey');
      if (first === undefined) return;
      const refused = Errors.filter(({ Code }) => Code !== 'NoSuchKey').length;
      const error = translateRefusal(
        { status: 200, code: first.Code, message: first.Message },
        this.#where,
        `delete ${refused} of ${keys.length} objects`,
        true,
      );
      throw error instanceof TryAgain || first.Code === 'AccessDenied'
        ? error
        : new TryAgain(error instanceof NokvError ? error : new NokvError('internal', error.message));
    });
  }

  get #bucket(): string {
    return this.#client.signing.location.bucket;
  }

  get #where(): string {
    return describeS3(this.#client.signing.location);
  }

  async #call<T>(doing: string, isWrite: boolean, call: (loaded: LoadedSdk) => Promise<T>): Promise<T> {
    const { signing } = this.#client;
    const learnt = new Set<S3Lesson>();
    // Each lesson counts once: at most three more calls.
    for (;;) {
      const { generation } = signing;
      try {
        return await call(await this.#client.load());
      } catch (error) {
        if (error instanceof NokvError || error instanceof TryAgain || !(error instanceof Error)) throw error;
        const refusal = refusalOf(error, signing.nowMs());
        if (refusal === undefined) throw translateHttpFailure(failureOf(error), this.#where, isWrite);
        const lesson = await signing.learn(refusal, generation);
        if (lesson === undefined || learnt.has(lesson)) throw translateRefusal(refusal, this.#where, doing, isWrite);
        learnt.add(lesson);
      }
    }
  }
}
