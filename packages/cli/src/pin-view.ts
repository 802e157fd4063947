/** Snapshots and tags as `--json` and as people read them. */
import type { Pin } from '@nokv/client';
import { type Timespec, formatTimespec } from '@nokv/types';
import type { Output } from './output.js';
import { columns } from './output.js';
import { printable } from './printable.js';

export interface PinJson {
  readonly id: number;
  readonly kind: Pin['kind'];
  readonly path: string;
  readonly inode: number;
  readonly version: number;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly name: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly actor: string;
}

export function pinJson(pin: Pin): PinJson {
  return {
    id: pin.id,
    kind: pin.kind,
    path: pin.path,
    inode: pin.root,
    version: pin.version,
    createdAt: formatTimespec(pin.createdAt),
    expiresAt: pin.expiresAt === undefined ? null : formatTimespec(pin.expiresAt),
    name: pin.name ?? null,
    labels: pin.labels,
    actor: pin.actor,
  };
}

/** To the second. */
export function shortTime(time: Timespec): string {
  return `${formatTimespec(time).slice(0, 19).replace('T', ' ')}Z`;
}

/** How the pin is written behind a path. */
export function pinMoment({ kind, id, name }: Pin): string {
  return kind === 'tag' && name !== undefined ? `tag:${name}` : `snap:${id}`;
}

export function describePin(pin: Pin): string {
  const rows: (readonly [string, string])[] = [
    ['id', `${pin.id}`],
    ['kind', pin.kind],
    ...(pin.name === undefined ? [] : [['name', pin.name] as const]),
    ['path', pin.path],
    ['inode', `${pin.root}`],
    ['version', `${pin.version}`],
    ['created', `${formatTimespec(pin.createdAt)} by ${pin.actor}`],
    ...(pin.expiresAt === undefined ? [] : [['kept until', formatTimespec(pin.expiresAt)] as const]),
    ...Object.entries(pin.labels).map(([key, value]) => ['label', `${key}=${value}`] as const),
  ];
  return columns(rows.map(([name, text]) => [name, printable(text)])).join('\n');
}

/** Lined up as they come, a screenful and more at a time: lists may be long. */
const ROWS_ALIGNED = 1000;

export async function printPins(output: Output, pins: AsyncIterable<Pin>): Promise<void> {
  let rows: string[][] = [];
  const flush = async () => {
    for (const line of columns(rows, [0])) await output.line(line);
    rows = [];
  };
  for await (const pin of pins) {
    if (output.json) {
      await output.object(pinJson(pin));
      continue;
    }
    const until = pin.expiresAt === undefined ? [] : [`until ${shortTime(pin.expiresAt)}`];
    const labels = Object.entries(pin.labels).map(([key, value]) => `${key}=${value}`);
    const name = pin.name === undefined ? [] : [pin.name];
    rows.push([`${pin.id}`, shortTime(pin.createdAt), ...until, ...(pin.kind === 'tag' ? name : []), printable(pin.path)]);
    const last = [...(pin.kind === 'tag' ? [] : name), ...labels].join(' ');
    if (last !== '') rows.at(-1)?.push(printable(last));
    if (rows.length >= ROWS_ALIGNED) await flush();
  }
  await flush();
}
