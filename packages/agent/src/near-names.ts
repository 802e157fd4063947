/** Up to three of `known` that a person may have meant by `wrong`, nearest first. */
export function nearNames(wrong: string, known: Iterable<string>): string[] {
  const lower = wrong.toLowerCase();
  const scored: { readonly name: string; readonly score: number }[] = [];
  for (const name of known) {
    const other = name.toLowerCase();
    const isPart = lower.length > 1 && other.length > 1 && (other.includes(lower) || lower.includes(other));
    const distance = editDistance(lower, other);
    const score = isPart ? Math.min(distance, 2) : distance;
    if (score <= Math.max(2, Math.floor(other.length / 3))) scored.push({ name, score });
  }
  return scored
    .toSorted((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1))
    .slice(0, 3)
    .map(({ name }) => name);
}

/** "; did you mean size?" or the whole list when nothing is near. */
export function suggestion(wrong: string, known: Iterable<string>, what: string): string {
  const all = [...known];
  const near = nearNames(wrong, all);
  return near.length > 0 ? `did you mean ${near.join(' or ')}? ${what}: ${all.join(', ')}` : `${what}: ${all.join(', ')}`;
}

/** Optimal string alignment: a swap of neighbours counts once. Inputs are cut at 64 characters. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64);
  const b = right.slice(0, 64);
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = at(previous, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(at(previous, j) + 1, at(current, j - 1) + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(before, j - 2) + 1);
      current.push(best);
    }
    before = previous;
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
