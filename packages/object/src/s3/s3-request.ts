/** Single requests to one bucket, with what a refusal teaches put right at once. Refusals come back as answers. */
import { retryAfterMs, translateHttpFailure } from '../http/http-errors.js';
import { translateRefusal, type S3Refusal } from './s3-errors.js';
import { describeS3 } from './s3-location.js';
import type { S3Lesson, S3Signing } from './s3-signing.js';
import type { S3Answer, S3Request, S3Wire } from './s3-wire.js';

export class S3Requests {
  readonly #signing: S3Signing;
  readonly #wire: S3Wire;

  constructor(signing: S3Signing, wire: S3Wire) {
    this.#signing = signing;
    this.#wire = wire;
  }

  async send(request: S3Request): Promise<S3Answer> {
    const learnt = new Set<S3Lesson>();
    // Each lesson counts once: at most three more requests.
    for (;;) {
      const { generation } = this.#signing;
      const answer = await this.#exchange(request);
      if (answer.status < 300) return answer;
      const lesson = await this.#signing.learn(this.#refusalOf(answer), generation);
      if (lesson === undefined || learnt.has(lesson)) return answer;
      learnt.add(lesson);
    }
  }

  /** What an answer that is none of the expected ones means. */
  refusal(answer: S3Answer, doing: string, isWrite: boolean): Error {
    return translateRefusal(this.#refusalOf(answer), describeS3(this.#signing.location), doing, isWrite);
  }

  close(): Promise<void> {
    return this.#wire.close();
  }

  async #exchange(request: S3Request): Promise<S3Answer> {
    try {
      return await this.#wire.exchange(request);
    } catch (error) {
      throw translateHttpFailure(error, describeS3(this.#signing.location), request.method === 'PUT');
    }
  }

  #refusalOf({ status, headers, said }: S3Answer): S3Refusal {
    const region = headers['x-amz-bucket-region'];
    const dateMs = Date.parse(headers.date ?? '');
    return {
      status,
      ...said,
      region: typeof region === 'string' ? region : said.region,
      retryAfterMs: retryAfterMs(headers['retry-after'], this.#signing.nowMs()),
      dateMs: Number.isFinite(dateMs) ? dateMs : undefined,
    };
  }
}
