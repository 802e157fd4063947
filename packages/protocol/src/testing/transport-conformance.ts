/** What every transport owes its callers; see `Transport`. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Transport } from '../transport/transport.js';

export interface TransportPair {
  readonly a: Transport;
  readonly b: Transport;
  /** Closes what the pair needed beside itself, such as a listener. */
  dispose(): Promise<void>;
}

export function transportConformance(name: string, makePair: () => Promise<TransportPair>): void {
  describe(`transport: ${name}`, () => {
    const open: TransportPair[] = [];
    const pair = async (): Promise<TransportPair> => {
      const made = await makePair();
      open.push(made);
      return made;
    };
    afterEach(async () => {
      for (const made of open.splice(0)) {
        made.a.destroy();
        made.b.destroy();
        await made.dispose();
      }
    });

    it('delivers bytes in order and once, both ways', async () => {
      const { a, b } = await pair();
      const atA = collect(a);
      const atB = collect(b);
      for (let i = 0; i < 1000; i++) {
        a.write(Uint8Array.of(i & 0xff, i >> 8));
        b.write(Uint8Array.of(0xff - (i & 0xff)));
      }
      await atB.until(2000);
      await atA.until(1000);
      for (let i = 0; i < 1000; i++) {
        expect([atB.bytes[i * 2], atB.bytes[i * 2 + 1], atA.bytes[i]]).toEqual([i & 0xff, i >> 8, 0xff - (i & 0xff)]);
      }
    });

    it('calls nothing from inside write', async () => {
      const { a, b } = await pair();
      const atB = collect(b);
      collect(a);
      a.write(Uint8Array.of(1));
      expect(atB.bytes).toEqual([]);
      await atB.until(1);
    });

    it('says false above the high-water mark, holds back a paused reader and drains when it goes on', async () => {
      const { a, b } = await pair();
      const atB = collect(b);
      const drained = new Promise<void>((resolve) => collect(a, resolve));
      b.pause();
      const chunk = new Uint8Array(256 * 1024).fill(9);
      let sent = 0;
      while (a.write(chunk.slice()) && sent < 64) sent += 1;
      for (let i = 0; i < 64; i++) a.write(chunk.slice());
      expect(a.unsentBytes).toBeGreaterThan(0);
      const total = (sent + 1 + 64) * chunk.length;
      b.resume();
      await drained;
      await atB.until(total);
      expect(atB.count()).toBe(total);
      expect(a.unsentBytes).toBe(0);
    });

    it('sends what is queued before it ends, and tells both sides once', async () => {
      const { a, b } = await pair();
      const atB = collect(b);
      const atA = collect(a);
      a.write(new Uint8Array(100_000).fill(3));
      a.end();
      await Promise.all([atA.closed, atB.closed]);
      expect(atB.count()).toBe(100_000);
      await turns();
      expect([atA.closes(), atB.closes()]).toEqual([1, 1]);
    });

    it('tells both sides once of a destroy, and drops later writes', async () => {
      const { a, b } = await pair();
      const atB = collect(b);
      const atA = collect(a);
      a.destroy();
      a.write(Uint8Array.of(1));
      await Promise.all([atA.closed, atB.closed]);
      await turns();
      expect([atA.closes(), atB.closes(), atB.count()]).toEqual([1, 1, 0]);
    });
  });
}

const BYTES_KEPT = 4096;

interface Collected {
  /** The first bytes that came. */
  readonly bytes: number[];
  count(): number;
  readonly closed: Promise<void>;
  closes(): number;
  until(length: number): Promise<void>;
}

function collect(transport: Transport, onDrain: () => void = () => undefined): Collected {
  const bytes: number[] = [];
  let count = 0;
  let closes = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let wake: () => void = () => undefined;
  let onClosed: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    onClosed = resolve;
  });
  transport.start({
    onData: (chunk) => {
      for (const byte of chunk.subarray(0, Math.max(0, BYTES_KEPT - bytes.length))) bytes.push(byte);
      count += chunk.length;
      if (count >= wanted) wake();
    },
    onDrain,
    onClose: () => {
      closes += 1;
      onClosed();
    },
  });
  return {
    bytes,
    count: () => count,
    closed,
    closes: () => closes,
    until: (length) =>
      new Promise((resolve) => {
        wanted = length;
        wake = resolve;
        if (count >= length) resolve();
      }),
  };
}

/** Some turns of the event loop, for what must not happen. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
