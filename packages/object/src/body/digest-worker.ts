/** Runs in a worker thread: feeds shared bytes to hashes, in the order of the messages. */
import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

export type DigestRequest =
  | { readonly kind: 'update'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'abandon'; readonly id: number };

/** One answer for each `update` and each `finish`. */
export type DigestAnswer = { readonly id: number; readonly hex?: string };

const hashes = new Map<number, Hash>();

parentPort?.on('message', (request: DigestRequest) => {
  const { id } = request;
  switch (request.kind) {
    case 'update': {
      let hash = hashes.get(id);
      if (hash === undefined) {
        hash = createHash('sha256');
        hashes.set(id, hash);
      }
      hash.update(request.bytes);
      answer({ id });
      break;
    }
    case 'finish':
      answer({ id, hex: (hashes.get(id) ?? createHash('sha256')).digest('hex') });
      hashes.delete(id);
      break;
    case 'abandon':
      hashes.delete(id);
      break;
  }
});

function answer(message: DigestAnswer): void {
  parentPort?.postMessage(message);
}
