/** Counts the rows of a shard by family: at once where the store counts them itself, else one by one in slices. */
import { ROWS_COUNTED_MAX, type FamilyFigures, type StoreFigures } from '@nokv/types';
import { FAMILY, familyEnd, familyStart, keyAfter } from './key.js';
import type { OrderedKv } from './ordered-kv.js';

const SLICE_ROWS = 2000;

export function storeFigures(kv: OrderedKv): StoreFigures {
  const { rows, fileBytes, mapBytes } = kv.usage?.() ?? { rows: 0, fileBytes: 0, mapBytes: 0 };
  return { rows, fileBytes, mapBytes };
}

/** @param pause lets everybody else have their turn. */
export async function familyFigures(kv: OrderedKv, pause: () => Promise<void>): Promise<FamilyFigures[]> {
  const counted = kv.usage?.().families;
  const figures: FamilyFigures[] = [];
  for (const [family, code] of Object.entries(FAMILY)) {
    const known = counted?.get(code);
    if (known !== undefined) {
      figures.push({ family, rows: known, isExact: true });
      continue;
    }
    let rows = 0;
    let start: Uint8Array | undefined = familyStart(code);
    while (start !== undefined && rows < ROWS_COUNTED_MAX) {
      let last: Uint8Array | undefined;
      let inSlice = 0;
      for (const { key } of kv.range(start, familyEnd(code), { limit: SLICE_ROWS })) {
        last = key;
        inSlice += 1;
      }
      rows += inSlice;
      start = inSlice < SLICE_ROWS || last === undefined ? undefined : keyAfter(last);
      await pause();
    }
    figures.push({ family, rows, isExact: start === undefined });
  }
  return figures;
}
