/** The request ids that one client draws: in order of time, and all with its mark, so that a watcher can leave out what it did itself. */
import { CLIENT_MARK_LENGTH, requestId, type Clock, type Random, type RequestId } from '@nokv/types';

const COUNTS = 2 ** 32;

/**
 * 12 hex characters of milliseconds, 12 of the client's mark, 8 that count. Two ids of a client differ by their counts, those of
 * two clients by their marks: 48 random bits that would have to be drawn twice and used in the same millisecond.
 */
export class RequestIds {
  readonly mark: string;
  readonly #clock: Clock;
  #count: number;
  /** Time and mark of the last id: many are drawn in one millisecond. */
  #headMs = -1;
  #head = '';

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.mark = Buffer.from(random.bytes(CLIENT_MARK_LENGTH / 2)).toString('hex');
    this.#count = Buffer.from(random.bytes(4)).readUInt32BE();
  }

  /** @param count how many ids are used from this one on: that of a batch counts on for each of its items. */
  draw(count = 1): RequestId {
    const nowMs = Math.floor(this.#clock.nowMs());
    if (nowMs !== this.#headMs) {
      this.#headMs = nowMs;
      this.#head = requestId(nowMs.toString(16).padStart(12, '0') + this.mark);
    }
    const first = (this.#count + 1) % COUNTS;
    this.#count = (this.#count + count) % COUNTS;
    return (this.#head + first.toString(16).padStart(8, '0')) as RequestId;
  }
}
