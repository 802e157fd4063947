import { MemoryPlane } from '@nokv/agent/testing';
import { systemClock } from '@nokv/types';

/** A small namespace of runs, with something beside them that a jail must hide. */
export function samplePlane(): MemoryPlane {
  const plane = new MemoryPlane(systemClock);
  for (let run = 0; run < 5; run++) {
    plane.write(`/runs/${run}/metrics.json`, JSON.stringify({ loss: run / 10, steps: [1, 2, 3] }));
    plane.write(
      `/runs/${run}/log.txt`,
      Array.from({ length: 40 }, (_, line) => `step ${line} of run ${run}${line === 7 ? ' ERROR' : ''}\n`).join(''),
    );
  }
  plane.write('/runs/blob.bin', Uint8Array.of(0, 1, 2, 255));
  plane.write('/secret/key.txt', 'do not show');
  plane.symlink('/runs/escape', '../secret');
  plane.symlink('/runs/absolute', '/secret/key.txt');
  plane.symlink('/runs/latest', '4');
  return plane;
}
