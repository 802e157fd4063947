/**
 * Which lines two texts do not share: the shortest edit script (E. Myers, "An O(ND) Difference Algorithm and Its Variations",
 * 1986, the linear-space variant), with bounded work, and runs of changed lines laid where diff(1) lays them.
 *
 * Lines are numbers: equal lines have equal numbers. Beyond {@link COST_MAX} steps for one region the script is still right but
 * may be longer than necessary; memory is linear in the number of lines.
 */

/** One place where the texts differ: `removed` lines of a from `aStart`, `added` lines of b from `bStart`; counted from 0. */
export interface Edit {
  readonly aStart: number;
  readonly removed: number;
  readonly bStart: number;
  readonly added: number;
}

/** Steps of the search in one region: a few seconds for texts that have next to nothing in common. */
const COST_MAX = 4096;

export function editScript(a: Int32Array, b: Int32Array): Edit[] {
  const removed = new Uint8Array(a.length + 1);
  const added = new Uint8Array(b.length + 1);
  markChanges(a, b, removed, added);
  slide(a, removed, added);
  slide(b, added, removed);
  return editsOf(removed, added, a.length, b.length);
}

interface Region {
  readonly aFrom: number;
  readonly aTo: number;
  readonly bFrom: number;
  readonly bTo: number;
}

function markChanges(a: Int32Array, b: Int32Array, removed: Uint8Array, added: Uint8Array): void {
  // Diagonals run from -b.length to a.length, with one more at each end.
  const size = a.length + b.length + 3;
  const search: Search = { a, b, forward: new Int32Array(size), backward: new Int32Array(size), origin: b.length + 1 };
  const regions: Region[] = [{ aFrom: 0, aTo: a.length, bFrom: 0, bTo: b.length }];
  // Ends: each region is split into two smaller ones or marked.
  for (let region = regions.pop(); region !== undefined; region = regions.pop()) {
    let { aFrom, aTo, bFrom, bTo } = region;
    while (aFrom < aTo && bFrom < bTo && a[aFrom] === b[bFrom]) {
      aFrom += 1;
      bFrom += 1;
    }
    while (aFrom < aTo && bFrom < bTo && a[aTo - 1] === b[bTo - 1]) {
      aTo -= 1;
      bTo -= 1;
    }
    if (aFrom === aTo) added.fill(1, bFrom, bTo);
    else if (bFrom === bTo) removed.fill(1, aFrom, aTo);
    else {
      const { x, y } = middle(search, { aFrom, aTo, bFrom, bTo });
      regions.push({ aFrom: x, aTo, bFrom: y, bTo }, { aFrom, aTo: x, bFrom, bTo: y });
    }
  }
}

interface Search {
  readonly a: Int32Array;
  readonly b: Int32Array;
  /** The furthest x on each diagonal `x - y`, from the beginning and from the end. */
  readonly forward: Int32Array;
  readonly backward: Int32Array;
  /** Where diagonal 0 lies in the two. */
  readonly origin: number;
}

/** A point on a shortest path through a region that begins and ends with a difference: paths from both ends meet there. */
function middle(
  { a, b, forward, backward, origin }: Search,
  { aFrom, aTo, bFrom, bTo }: Region,
): { readonly x: number; readonly y: number } {
  const [lowest, highest] = [aFrom - bTo, aTo - bFrom];
  const [first, last] = [aFrom - bFrom, aTo - bTo];
  const meetsForward = ((first - last) & 1) !== 0;
  let [fLow, fHigh, bLow, bHigh] = [first, first, last, last];
  forward[origin + first] = aFrom;
  backward[origin + last] = aTo;
  for (let cost = 1; ; cost++) {
    // One diagonal further on each side, or one less where the region ends: then only every second one is looked at.
    if (fLow > lowest) forward[origin + --fLow - 1] = -1;
    else fLow += 1;
    if (fHigh < highest) forward[origin + ++fHigh + 1] = -1;
    else fHigh -= 1;
    for (let k = fHigh; k >= fLow; k -= 2) {
      const [below, above] = [forward[origin + k - 1] as number, forward[origin + k + 1] as number];
      let x = below < above ? above : below + 1;
      while (x < aTo && x - k < bTo && a[x] === b[x - k]) x += 1;
      forward[origin + k] = x;
      if (meetsForward && k >= bLow && k <= bHigh && (backward[origin + k] as number) <= x) return { x, y: x - k };
    }
    if (bLow > lowest) backward[origin + --bLow - 1] = aTo + 1;
    else bLow += 1;
    if (bHigh < highest) backward[origin + ++bHigh + 1] = aTo + 1;
    else bHigh -= 1;
    for (let k = bHigh; k >= bLow; k -= 2) {
      const [below, above] = [backward[origin + k - 1] as number, backward[origin + k + 1] as number];
      let x = below < above ? below : above - 1;
      while (x > aFrom && x - k > bFrom && a[x - 1] === b[x - k - 1]) x -= 1;
      backward[origin + k] = x;
      if (!meetsForward && k >= fLow && k <= fHigh && x <= (forward[origin + k] as number)) return { x, y: x - k };
    }
    if (cost >= COST_MAX) return furthest({ a, b, forward, backward, origin }, { aFrom, aTo, bFrom, bTo }, { fLow, fHigh, bLow, bHigh });
  }
}

/** Where one of the two searches has come furthest: a split that keeps what was found so far. */
function furthest(
  { forward, backward, origin }: Search,
  { aFrom, aTo, bFrom, bTo }: Region,
  { fLow, fHigh, bLow, bHigh }: { readonly fLow: number; readonly fHigh: number; readonly bLow: number; readonly bHigh: number },
): { readonly x: number; readonly y: number } {
  let best = { x: aFrom, y: bFrom };
  let gained = -1;
  for (let k = fHigh; k >= fLow; k -= 2) {
    const x = Math.min(forward[origin + k] as number, aTo, bTo + k);
    const gain = x - aFrom + (x - k - bFrom);
    if (gain > gained && x - k >= bFrom) [best, gained] = [{ x, y: x - k }, gain];
  }
  for (let k = bHigh; k >= bLow; k -= 2) {
    const x = Math.max(backward[origin + k] as number, aFrom, bFrom + k);
    const gain = aTo - x + (bTo - (x - k));
    if (gain > gained && x - k <= bTo) [best, gained] = [{ x, y: x - k }, gain];
  }
  return best;
}

/**
 * A run of changed lines between equal lines can be moved: diff(1) first moves it up to join the run before, then down as far as
 * it goes, and back up to where the other text has a change too.
 */
function slide(lines: Int32Array, changed: Uint8Array, other: Uint8Array): void {
  const end = lines.length;
  let i = 0;
  let j = 0;
  // Ends with the text: each round steps over one run.
  for (;;) {
    for (; i < end && changed[i] === 0; i++) {
      while (other[j] === 1) j += 1;
      j += 1;
    }
    if (i === end) return;
    let start = i;
    while (i < end && changed[i] === 1) i += 1;
    while (other[j] === 1) j += 1;
    let matching: number;
    let length: number;
    do {
      length = i - start;
      while (start > 0 && lines[start - 1] === lines[i - 1]) {
        changed[--start] = 1;
        changed[--i] = 0;
        while (start > 0 && changed[start - 1] === 1) start -= 1;
        j -= 1;
        while (other[j] === 1) j -= 1;
      }
      matching = j > 0 && other[j - 1] === 1 ? i : end;
      while (i < end && lines[start] === lines[i]) {
        changed[start++] = 0;
        changed[i++] = 1;
        while (i < end && changed[i] === 1) i += 1;
        j += 1;
        while (other[j] === 1) {
          j += 1;
          matching = i;
        }
      }
    } while (length !== i - start);
    while (matching < i) {
      changed[--start] = 1;
      changed[--i] = 0;
      j -= 1;
      while (other[j] === 1) j -= 1;
    }
  }
}

function editsOf(removed: Uint8Array, added: Uint8Array, aLength: number, bLength: number): Edit[] {
  const edits: Edit[] = [];
  let [i, j] = [0, 0];
  while (i < aLength || j < bLength) {
    const [aStart, bStart] = [i, j];
    while (removed[i] === 1) i += 1;
    while (added[j] === 1) j += 1;
    if (i > aStart || j > bStart) edits.push({ aStart, removed: i - aStart, bStart, added: j - bStart });
    else {
      i += 1;
      j += 1;
    }
  }
  return edits;
}
