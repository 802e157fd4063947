/** What snapshots and tags share: how pins are shown, listed and labelled. */
import type { PinInfo, PinLabel } from '@nokv/types';
import { compareBytes, formatName } from '@nokv/types';
import type { Pin, PinListOptions } from '../history.js';
import type { MetadataClient } from '../metadata-client.js';
import { pathBytes } from './arguments.js';

const PAGE = 500;

export function shownPin({ path, labels, ...rest }: PinInfo): Pin {
  return {
    ...rest,
    path: formatName(path),
    pathBytes: path,
    labels: Object.fromEntries(labels.map(({ key, value }) => [key, value])),
  };
}

/** In the order that the operations want. */
export function labelList(labels: Readonly<Record<string, string>> | undefined): { readonly labels?: readonly PinLabel[] } {
  if (labels === undefined) return {};
  const list = Object.entries(labels).map(([key, value]) => ({ key, value }));
  return { labels: list.toSorted((a, b) => compareBytes(Buffer.from(a.key), Buffer.from(b.key))) };
}

export async function* listPins(metadata: MetadataClient, kind: 'snapshot' | 'tag', options: PinListOptions): AsyncGenerator<Pin> {
  const root = options.path === undefined ? {} : { root: { path: pathBytes(options.path) } };
  let after: PinInfo['id'] | undefined;
  // Ends at the last page; each begins after the last pin of the one before.
  for (;;) {
    const args = { kind, ...root, limit: PAGE, ...(after === undefined ? {} : { after }) };
    const { pins, more } = await metadata.read('pins', args, options);
    yield* pins.map(shownPin);
    after = pins.at(-1)?.id;
    if (!more || after === undefined) return;
  }
}
