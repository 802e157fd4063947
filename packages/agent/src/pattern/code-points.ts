/** Sets of Unicode code points as sorted, disjoint, inclusive ranges. Surrogates are never members. */
export type CodePoints = readonly (readonly [number, number])[];

const LAST = 0x10ffff;
/** No letter with two cases lies beyond. */
const LAST_CASED = 0x1ffff;
/** There are some hundred categories, scripts and binary properties, with their aliases. */
const PROPERTIES_MAX = 512;

export function codePoints(ranges: readonly (readonly [number, number])[]): CodePoints {
  const merged: [number, number][] = [];
  for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else merged.push([low, high]);
  }
  return merged;
}

export function complement(set: CodePoints): CodePoints {
  const ranges: [number, number][] = [];
  let from = 0;
  for (const [low, high] of set) {
    if (low > from) ranges.push([from, low - 1]);
    from = high + 1;
  }
  if (from <= LAST) ranges.push([from, LAST]);
  return ranges;
}

/** The set with the other cases of its members (simple folding). */
export function folded(set: CodePoints): CodePoints {
  const extra: [number, number][] = [];
  const codes = cased();
  const members = set.reduce((sum, [low, high]) => sum + high - low + 1, 0);
  const add = (others: readonly number[] = []): void => void extra.push(...others.map((other): [number, number] => [other, other]));
  // Whichever is fewer is gone through: the members of the set, or all letters with two cases.
  if (members > codes.size) {
    for (const [code, others] of codes) if (contains(set, code)) add(others);
  } else for (const [low, high] of set) for (let code = low; code <= high; code++) add(codes.get(code));
  return extra.length === 0 ? set : codePoints([...set, ...extra]);
}

/** JavaScript source (without the `u` flag) that matches one member. `isRepeated`: it stands under `*` or `+`. */
export function sourceOf(set: CodePoints, isRepeated: boolean): string {
  const hasAllAstral = set.some(([low, high]) => low <= 0x10000 && high === LAST);
  const plain = set.flatMap(([low, high]) => withoutSurrogates(low, Math.min(high, 0xffff)));
  const [only, ...others] = plain;
  if (hasAllAstral && isRepeated) return `[${plain.map(rangeSource).join('')}\\ud800-\\udfff]`;
  const astral = hasAllAstral
    ? ['[\\ud800-\\udbff][\\udc00-\\udfff]']
    : set.flatMap(([low, high]) => astralSources(Math.max(low, 0x10000), high));
  if (astral.length === 0 && only !== undefined && others.length === 0 && only[0] === only[1]) return unitSource(only[0]);
  const classes = plain.length === 0 ? [] : [`[${plain.map(rangeSource).join('')}]`];
  const parts = [...classes, ...astral];
  if (parts.length === 0) return '[]';
  return parts.length === 1 && classes.length === 1 ? parts.join('') : `(?:${parts.join('|')})`;
}

const properties = new Map<string, CodePoints>();

/** Members of `\p{name}`: a general category, a script or a binary property. Undefined when there is none of that name. */
export function propertySet(name: string): CodePoints | undefined {
  const known = properties.get(name);
  if (known !== undefined) return known;
  if (!/^[A-Za-z_=]{1,40}$/.test(name)) return undefined;
  const test = propertyTest(name) ?? propertyTest(`Script=${name}`);
  if (test === undefined) return undefined;
  const ranges: [number, number][] = [];
  for (let code = 0; code <= LAST; code++) {
    if ((code >= 0xd800 && code <= 0xdfff) || !test.test(String.fromCodePoint(code))) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  if (properties.size >= PROPERTIES_MAX) properties.clear();
  properties.set(name, ranges);
  return ranges;
}

function propertyTest(name: string): RegExp | undefined {
  try {
    return new RegExp(`\\p{${name}}`, 'u');
  } catch {
    return undefined;
  }
}

let casedCodes: ReadonlyMap<number, readonly number[]> | undefined;

/** Every code point that has another case, with those cases; found out once. */
function cased(): ReadonlyMap<number, readonly number[]> {
  if (casedCodes !== undefined) return casedCodes;
  const codes = new Map<number, number[]>();
  for (let code = 0; code <= LAST_CASED; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const others = casesOf(code);
    if (others.length > 0) codes.set(code, others);
  }
  casedCodes = codes;
  return codes;
}

function casesOf(code: number): number[] {
  const char = String.fromCodePoint(code);
  const lower = char.toLowerCase();
  const upper = char.toUpperCase();
  if (lower === char && upper === char) return [];
  const cases = [lower, upper, lower.toUpperCase(), upper.toLowerCase()];
  // Kelvin, Ångström and the long s fold to letters that do not fold back to them.
  if (lower === 'k') cases.push('\u212a');
  if (lower === 's') cases.push('\u017f');
  if (lower === '\u00e5') cases.push('\u212b');
  return cases.filter((each) => [...each].length === 1).map((each) => each.codePointAt(0) ?? code);
}

function contains(set: CodePoints, code: number): boolean {
  let low = 0;
  let high = set.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last] = set[middle] ?? [0, 0];
    if (code < first) high = middle - 1;
    else if (code > last) low = middle + 1;
    else return true;
  }
  return false;
}

function withoutSurrogates(low: number, high: number): [number, number][] {
  const ranges: [number, number][] = [];
  if (low <= Math.min(high, 0xd7ff)) ranges.push([low, Math.min(high, 0xd7ff)]);
  if (Math.max(low, 0xe000) <= high) ranges.push([Math.max(low, 0xe000), high]);
  return ranges;
}

/** Surrogate pairs of a range of code points above U+FFFF. */
function astralSources(low: number, high: number): string[] {
  const sources: string[] = [];
  for (let from = low; from <= high;) {
    const lead = 0xd800 + ((from - 0x10000) >> 10);
    const trail = 0xdc00 + ((from - 0x10000) & 0x3ff);
    if (trail === 0xdc00 && high - from >= 0x3ff) {
      const leads = Math.floor((high - from + 1) / 0x400);
      sources.push(`[${rangeSource([lead, lead + leads - 1])}][\\udc00-\\udfff]`);
      from += leads * 0x400;
    } else {
      const to = Math.min(high, from + 0xdfff - trail);
      sources.push(`${unitSource(lead)}[${rangeSource([trail, trail + to - from])}]`);
      from = to + 1;
    }
  }
  return sources;
}

function rangeSource([low, high]: readonly [number, number]): string {
  return low === high ? unitSource(low) : `${unitSource(low)}-${unitSource(high)}`;
}

function unitSource(unit: number): string {
  const char = String.fromCharCode(unit);
  return /[A-Za-z0-9 ]/.test(char) ? char : `\\u${unit.toString(16).padStart(4, '0')}`;
}
