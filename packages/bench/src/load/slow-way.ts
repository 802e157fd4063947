/** A way to a server on loopback that is as far as one in another region: answers come later, none comes slower. Counts requests. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface SlowWay {
  readonly endpoint: string;
  /** Requests seen since the last look, by method. */
  takeRequests(): Promise<{ readonly puts: number; readonly gets: number }>;
  close(): void;
}

const SCRIPT = fileURLToPath(new URL('./slow-way-process.js', import.meta.url));

/** @param delayMs added to every answer. */
export async function slowWay(target: string, delayMs: number): Promise<SlowWay> {
  const child = fork(SCRIPT, [target, String(delayMs)]);
  const answer = async <T>(): Promise<T> => ((await once(child, 'message')) as [T])[0];
  const { port } = await answer<{ readonly port: number }>();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async takeRequests() {
      const counts = answer<{ readonly puts: number; readonly gets: number }>();
      child.send('count');
      return await counts;
    },
    close: () => void child.kill(),
  };
}
