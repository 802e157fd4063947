/**
 * `node scripts/draw-growth.mjs FIGURES.jsonl [docs/growth.svg]`: draws the growth curves from the lines that
 * `npm run bench -- growth --json` printed. Both axes are logarithmic.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [, , from, to = 'docs/growth.svg'] = process.argv;
if (from === undefined) throw new Error('usage: draw-growth FIGURES.jsonl [OUT.svg]');

const PANELS = [
  { title: 'a second', unit: '/s', cases: ['create-rate', 'list-rate'] },
  { title: 'milliseconds', unit: ' ms', cases: ['clone', 'first-touch', 'diff-3-changes', 'rollback'] },
];
const COLOURS = ['#1f6feb', '#cf222e', '#1a7f37', '#9a6700'];
const WIDTH = 460;
const HEIGHT = 320;
const MARGIN = { left: 76, right: 28, top: 40, bottom: 44 };

const figures = readFileSync(from, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter(({ bench }) => bench === 'growth');

const series = (name) =>
  figures
    .filter((figure) => figure.case === name)
    .map(({ value, conditions }) => [conditions.files, value])
    .sort(([a], [b]) => a - b);

/** The powers of ten around some values. */
function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values)));
  return [low, Math.max(high, low + 1)];
}

function panel({ title, unit, cases }, offset) {
  const lines = cases.map((name) => ({ name, points: series(name) })).filter(({ points }) => points.length > 0);
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) return '';
  const [x0, x1] = decades(points.map(([x]) => x));
  const [y0, y1] = decades(points.map(([, y]) => y));
  const x = (value) => offset + MARGIN.left + ((Math.log10(value) - x0) / (x1 - x0)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - ((Math.log10(value) - y0) / (y1 - y0)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const parts = [`<text x="${offset + MARGIN.left}" y="20" font-weight="bold">${title}</text>`];
  for (let power = x0; power <= x1; power++) {
    const at = x(10 ** power);
    parts.push(`<line x1="${at}" y1="${MARGIN.top}" x2="${at}" y2="${HEIGHT - MARGIN.bottom}" stroke="#d0d7de"/>`);
    parts.push(`<text x="${at}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">10^${power}</text>`);
  }
  for (let power = y0; power <= y1; power++) {
    const at = y(10 ** power);
    parts.push(`<line x1="${offset + MARGIN.left}" y1="${at}" x2="${offset + WIDTH - MARGIN.right}" y2="${at}" stroke="#d0d7de"/>`);
    parts.push(
      `<text x="${offset + MARGIN.left - 6}" y="${at + 4}" text-anchor="end">${10 ** power >= 1 ? (10 ** power).toLocaleString('en-US') : 10 ** power}</text>`,
    );
  }
  lines.forEach(({ name, points: line }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${line.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}"/>`);
    for (const [a, b] of line)
      parts.push(`<circle cx="${x(a)}" cy="${y(b)}" r="3" fill="${colour}"><title>${a}: ${b.toFixed(1)}${unit}</title></circle>`);
    parts.push(`<text x="${offset + MARGIN.left + 8 + i * 96}" y="36" fill="${colour}">${name}</text>`);
  });
  parts.push(`<text x="${offset + (WIDTH + MARGIN.left) / 2}" y="${HEIGHT - 6}" text-anchor="middle">files in the tree</text>`);
  return parts.join('\n');
}

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH * PANELS.length}" height="${HEIGHT}" font-family="sans-serif" font-size="12" fill="#1f2328">
<rect width="100%" height="100%" fill="#ffffff"/>
${PANELS.map((one, i) => panel(one, i * WIDTH)).join('\n')}
</svg>
`;
writeFileSync(to, svg);
process.stdout.write(`${to}: ${figures.length} figures\n`);
